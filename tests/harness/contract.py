"""backup-api's answers against its own /openapi.json, by Debian's jsonschema: every request that a test makes through
ApiServer is held against the document. What is refused may be anything; what is answered must be as described."""

import json
import re
import urllib.parse

try:
    import jsonschema
except ImportError:
    raise ImportError("python3-jsonschema is missing; run: deploy/packages/install test") from None

METHODS = ("get", "put", "post", "patch", "delete")
PROBLEM = "application/problem+json"
TYPES = {
    "integer": int,
    "number": float,
    "boolean": {"true": True, "false": False}.__getitem__,
    "array": lambda text: text.split(","),
}

_contracts = {}


def contract_of(document_bytes):
    """One for each document: all servers of a test session have the same."""
    if document_bytes not in _contracts:
        _contracts[document_bytes] = Contract(json.loads(document_bytes))
    return _contracts[document_bytes]


class Operation:
    """One method of one path, its references followed."""

    def __init__(self, contract, path, method, item):
        said = item[method]
        self.path = path
        self.method = method.upper()
        self.id = said["operationId"]
        self.role = said["x-role"]
        self.parameters = [contract.follow(p) for p in item.get("parameters", []) + said.get("parameters", [])]
        self.query = {p["name"]: p for p in self.parameters if p["in"] == "query"}
        self.body = contract.follow(said["requestBody"]) if "requestBody" in said else None
        self.responses = {status: contract.follow(r) for status, r in said["responses"].items()}

    def __repr__(self):
        return f"{self.method} {self.path}"

    def body_schema(self):
        return self.body["content"]["application/json"]["schema"] if self.body else None


class Contract:
    def __init__(self, document):
        self.document = document
        self.resolver = jsonschema.RefResolver("", document)
        self.validators = {}
        self.seen = set()
        self.operations = [
            Operation(self, path, method, item)
            for path, item in document["paths"].items()
            for method in METHODS
            if method in item
        ]
        # what is literal is preferred to a parameter, as the server does
        templates = sorted(document["paths"], key=lambda path: [part.startswith("{") for part in path.split("/")])
        self.templates = [
            (re.compile("/".join("[^/]+" if p.startswith("{") else re.escape(p) for p in path.split("/"))), path)
            for path in templates
        ]

    def follow(self, value):
        while "$ref" in value:
            value = self.resolver.resolve(value["$ref"])[1]
        return value

    def whole(self, schema):
        """The schema with what it refers to; for those who make values of it."""
        if isinstance(schema, list):
            return [self.whole(s) for s in schema]
        if not isinstance(schema, dict):
            return schema
        rest = {k: self.whole(v) for k, v in schema.items() if k != "$ref"}
        return {**self.whole(self.follow(schema)), **rest} if "$ref" in schema else rest

    def find(self, method, target):
        """The operation that answers; None: the document knows none."""
        path = urllib.parse.urlsplit(target).path
        template = next((t for pattern, t in self.templates if pattern.fullmatch(path)), None)
        method = "GET" if method == "HEAD" else method
        return next((o for o in self.operations if (o.path, o.method) == (template, method)), None)

    def errors(self, schema, value):
        key = id(schema)  # the document lives as long as this
        if key not in self.validators:
            self.validators[key] = jsonschema.Draft202012Validator(schema, resolver=self.resolver)
        return [f"{'/'.join(map(str, e.absolute_path)) or '(all)'}: {e.message[:500]}" for e in self.validators[key].iter_errors(value)]

    def check(self, method, target, body, answer):
        """Fails unless the answer is one of those described, and so is what was asked when it was granted."""
        known = (method, target, body, answer.status, answer.bytes)
        if known in self.seen:
            return
        operation = self.find(method, target)
        wrong = list(self.wrong_with_answer(operation, method, answer))
        if operation and 200 <= answer.status < 300:
            wrong += self.wrong_with_request(operation, target, body)
        if wrong:
            what = "\n  ".join(wrong)
            raise AssertionError(f"{method} {target} is not as /openapi.json says:\n  {what}\n{answer}")
        self.seen.add(known)

    def wrong_with_answer(self, operation, method, answer):
        media = answer.headers.get("Content-Type", "").split(";")[0]
        if operation is None:
            if method == "OPTIONS" and answer.status == 204:
                return
            if answer.status < 400:
                yield f"{answer.status}, but the document knows no such path and method"
                return
            response = self.document["components"]["responses"]["Problem"]
        else:
            response = operation.responses.get(str(answer.status))
            if response is None and answer.status >= 400:
                response = operation.responses["default"]
        if response is None:
            yield f"the status {answer.status} is not described"
            return
        for name, header in response.get("headers", {}).items():
            if self.follow(header).get("required") and name not in answer.headers:
                yield f"the header {name} is missing"
        content = response.get("content")
        if content is None:
            if answer.bytes or media and answer.status != 304:
                yield "there is content, and none is described"
        elif media not in content:
            yield f"the media type '{media}' is not described"
        elif "json" in media and method != "HEAD":
            yield from self.errors(content[media]["schema"], answer.json)

    def wrong_with_request(self, operation, target, body):
        # where no parameter is described the query is not looked at, whatever it says
        query = urllib.parse.urlsplit(target).query if operation.query else ""
        for name, text in urllib.parse.parse_qsl(query, keep_blank_values=True):
            if name not in operation.query:
                yield f"the parameter {name} was taken, but is not described"
                continue
            schema = operation.query[name]["schema"]
            try:
                value = TYPES.get(self.follow(schema).get("type"), str)(text)
            except (ValueError, KeyError):
                value = text
            yield from (f"the parameter {name} was taken: {e}" for e in self.errors(schema, value))
        if body and operation.body is None:
            yield "a body was taken, but none is described"
        elif body is not None and operation.body:
            schema = operation.body["content"]["application/json"]["schema"]
            value = json.loads(body) if body else {}  # an empty one counts as {}
            yield from (f"the body was taken: {e}" for e in self.errors(schema, value))
        elif operation.body and operation.body.get("required"):
            yield "no body was needed, but one is described as required"
