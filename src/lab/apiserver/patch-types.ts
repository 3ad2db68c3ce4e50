// Which patch a content type means, and which of them a kind takes.
import { ApiError } from './api-error.ts';
import type { Json } from './api-object.ts';
import type { Kind } from './kinds.ts';
import { jsonPatch, mergePatch } from './patch.ts';
import { strategicPatch } from './strategic-patch.ts';

/** The object with the patch applied. Throws ApiError: 415 for a content type that the kind does not take. */
export function patched(kind: Kind, contentType: string, target: Json, body: Json): Json {
  switch (contentType) {
    case 'application/json-patch+json':
      return jsonPatch(target, body);
    case 'application/merge-patch+json':
      return mergePatch(target, body);
    case 'application/strategic-merge-patch+json':
      if (!kind.schema) return strategicPatch(target, body, kind.listTypes);
  }
  const supported = ['json-patch+json', 'merge-patch+json', 'apply-patch+yaml']
    .concat(kind.schema ? [] : ['strategic-merge-patch+json'])
    .map((each) => `application/${each}`)
    .join(', ');
  throw new ApiError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${supported}`,
  );
}
