// An OpenAPI document on stdin -> {"valid", "version", "errors"}: against the specification's own schema, as packaged by others;
// and every schema in it through Ajv, which says what it does not understand.
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { text } from "node:stream/consumers";

const document = JSON.parse(await text(process.stdin));
const validator = new Validator();
const result = await validator.validate(structuredClone(document));
const errors = [result.errors || []].flat();

const ajv = new Ajv.default({ strict: true, strictRequired: false, allErrors: true, allowUnionTypes: true });
addFormats.default(ajv);
ajv.addFormat("password", true); // OpenAPI's: for those who draw forms
for (const keyword of ["components", "example", "discriminator", "xml", "externalDocs"]) ajv.addKeyword(keyword);
ajv.addSchema({ $id: "document:", components: document.components });

function compile(schema, where) {
  // references are the document's
  const own = JSON.stringify(schema).replaceAll('"$ref":"#/', '"$ref":"document:#/');
  try {
    ajv.compile(JSON.parse(own));
  } catch (error) {
    errors.push({ where, message: String(error.message) });
  }
}

function walk(value, where) {
  if (value === null || typeof value !== "object") return;
  if (!Array.isArray(value) && value.schema) compile(value.schema, where + "/schema");
  for (const [key, member] of Object.entries(value)) walk(member, where + "/" + key);
}
for (const [name, schema] of Object.entries(document.components?.schemas || {})) compile(schema, name);
walk(document.paths, "paths");
walk(document.components?.parameters, "parameters");

console.log(JSON.stringify({ valid: result.valid && errors.length === 0, version: validator.version, errors }));
