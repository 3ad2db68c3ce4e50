// The fields of a CustomResourceDefinition that the server reads; others are taken as they are.
import { BOOLEAN, INTEGER, list, open, STRING, STRINGS } from './built-in-fields.ts';
import type { Schema } from './schema.ts';

const NUMBER: Schema = { type: 'number' };
const ANYTHING: Schema = {};

/** A schema's own schema: it holds others of its kind. */
const JSON_SCHEMA: Schema = {
  type: 'object',
  'x-kubernetes-preserve-unknown-fields': true,
  get properties() {
    return PROPERTIES;
  },
};
const SCHEMA_MAP: Schema = { type: 'object', additionalProperties: JSON_SCHEMA };
const SCHEMAS = list(JSON_SCHEMA);

const PROPERTIES: Readonly<Record<string, Schema>> = {
  type: STRING,
  description: STRING,
  properties: SCHEMA_MAP,
  items: JSON_SCHEMA,
  required: STRINGS,
  enum: list(ANYTHING),
  pattern: STRING,
  format: STRING,
  minimum: NUMBER,
  maximum: NUMBER,
  exclusiveMinimum: BOOLEAN,
  exclusiveMaximum: BOOLEAN,
  multipleOf: NUMBER,
  minLength: INTEGER,
  maxLength: INTEGER,
  minItems: INTEGER,
  maxItems: INTEGER,
  minProperties: INTEGER,
  maxProperties: INTEGER,
  nullable: BOOLEAN,
  allOf: SCHEMAS,
  anyOf: SCHEMAS,
  oneOf: SCHEMAS,
  not: JSON_SCHEMA,
  additionalProperties: { anyOf: [BOOLEAN, JSON_SCHEMA], 'x-kubernetes-preserve-unknown-fields': true },
  'x-kubernetes-preserve-unknown-fields': BOOLEAN,
  'x-kubernetes-int-or-string': BOOLEAN,
  'x-kubernetes-list-type': STRING,
  'x-kubernetes-map-type': STRING,
  'x-kubernetes-list-map-keys': STRINGS,
};

const VERSION = open({
  name: STRING,
  served: BOOLEAN,
  storage: BOOLEAN,
  schema: open({ openAPIV3Schema: JSON_SCHEMA }),
  subresources: open({ status: open({}) }),
  selectableFields: list(open({ jsonPath: STRING })),
  additionalPrinterColumns: list(open({ name: STRING, type: STRING, jsonPath: STRING, priority: INTEGER })),
});

export const DEFINITION_FIELDS = open({
  spec: open({
    group: STRING,
    scope: STRING,
    names: open({
      plural: STRING,
      singular: STRING,
      kind: STRING,
      listKind: STRING,
      shortNames: STRINGS,
      categories: STRINGS,
    }),
    versions: list(VERSION),
  }),
  status: open({ conditions: list(open({ type: STRING })), storedVersions: STRINGS }),
});
