// Which Services a cloud serves in place of the pools.
import { isOurs, type ServiceClasses } from '../api/service.ts';
import type { ServiceObject } from '../kube/objects.ts';

export interface CloudClasses {
  readonly classes: ServiceClasses;
  /** Whether Services of this class are left alone for now, such as those of another controller's class. */
  readonly leaves: (service: ServiceObject) => boolean;
}

export function isCloudService(service: ServiceObject, { classes, leaves }: CloudClasses): boolean {
  return isOurs(service, classes) && !leaves(service);
}
