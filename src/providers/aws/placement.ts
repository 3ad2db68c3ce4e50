// In which accounts a Service has, or may have, something: what its annotation says.
import { AwsAnnotations } from '../../api/aws-annotations.ts';
import { PLACES_ANNOTATION } from '../../api/service.ts';
import type { ServiceObject } from '../../kube/objects.ts';

export interface Place {
  readonly account: string;
  readonly uid: string;
  /** What its load balancer may be called besides the name that is made of the Service's. */
  readonly explicitName: string | undefined;
}

/** `serving`: the account that it is served from now comes first, before those that it moves away from. */
export function placesOf(service: ServiceObject, serving?: string): Place[] {
  const { uid = '', annotations } = service.metadata;
  const written = (annotations?.[PLACES_ANNOTATION] ?? '').split(',').filter((name) => name !== '');
  const accounts = new Set(serving === undefined ? written : [serving, ...written]);
  const explicitName = new AwsAnnotations(service).get('name')?.value;
  return [...accounts].map((account) => ({ account, uid, explicitName }));
}

/** As the annotation has them; undefined: nowhere. */
export function placesText(places: readonly Place[]): string | undefined {
  return places.length > 0 ? places.map(({ account }) => account).join(',') : undefined;
}
