// The rows of policies, with a proxy that is told the objects directly.
import { afterAll } from 'vitest';
import { describePolicies } from './policies.conformance.ts';
import { Scene } from './scene.ts';

const scene = new Scene();
describePolicies(scene);
afterAll(() => scene.remove());
