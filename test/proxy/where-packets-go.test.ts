// The model of where packets go, with a proxy that is told the objects directly.
import { afterAll } from 'vitest';
import { Scene } from './scene.ts';
import { describeWherePacketsGo } from './where-packets-go.conformance.ts';

const scene = new Scene();
describeWherePacketsGo(scene, 60);
afterAll(() => scene.remove());
