"""GET /openapi.json: a document that others accept, and that the tests' own check of answers does hold answers against."""

import copy
import gzip
import json
import subprocess

import jsonschema
import pytest

from harness.api import ApiServer, make_token
from harness.contract import Contract
from harness.node import program


@pytest.fixture
def api(bm):
    return ApiServer(bm)


def judged_by_others(document):
    argv, environment = program("openapi.mjs")
    done = subprocess.run(argv, env=environment, input=json.dumps(document), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_valid_for_others(api):
    """OpenAPI 3.1's own schema, and every schema in the document through Ajv; both can say no."""
    document = api.contract.document
    verdict = judged_by_others(document)
    assert verdict["valid"] and verdict["version"] == "3.1", verdict["errors"]

    def broken(*path, value):
        other = copy.deepcopy(document)
        place = other
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        return judged_by_others(other)

    assert not broken("paths", "/healthz", "get", "responses", value=[])["valid"]
    assert not broken("paths", "/api/groups", "get", "parameters", 0, value={"name": "x", "in": "nowhere"})["valid"]
    assert not broken("components", "schemas", "id", value={"type": "integer", "minimun": 1})["valid"]
    assert not broken("components", "schemas", "group", value={"$ref": "#/components/schemas/nothing"})["valid"]


def test_schemas_and_examples(api):
    """Draft 2020-12 for Debian's jsonschema too; what is given as an example fits."""
    contract, checked = api.contract, 0
    for operation in contract.operations:
        for content in (operation.body or {}).get("content", {}).values():
            jsonschema.Draft202012Validator.check_schema(content["schema"])
            examples = [content["example"]] if "example" in content else []
            examples += [e["value"] for e in content.get("examples", {}).values()]
            for example in examples:
                assert contract.errors(content["schema"], example) == [], operation
                checked += 1
        for parameter in operation.parameters:
            jsonschema.Draft202012Validator.check_schema(parameter["schema"])
            if "default" in parameter["schema"]:
                assert contract.errors(parameter["schema"], parameter["schema"]["default"]) == [], operation
    for name, schema in contract.document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        for example in schema.get("examples", []):
            assert contract.errors(schema, example) == [], name
    assert checked > 3


def closed(schema, contract, where, open_ones):
    """Collects the objects of an answer that may have members nobody described, or lack some."""
    schema = contract.follow(schema)
    if schema.get("type") == "object" and "properties" in schema:
        if schema.get("additionalProperties") is not False and schema.get("unevaluatedProperties") is not False:
            open_ones.append(f"{where}: additionalProperties")
        if set(schema["properties"]) - set(schema.get("required", [])):
            open_ones.append(f"{where}: not required: {set(schema['properties']) - set(schema.get('required', []))}")
        for name, member in schema["properties"].items():
            closed(member, contract, f"{where}/{name}", open_ones)
    for key in ("oneOf", "anyOf"):
        for i, choice in enumerate(schema.get(key, [])):
            closed(choice, contract, f"{where}/{i}", open_ones)
    if isinstance(schema.get("items"), dict):
        closed(schema["items"], contract, f"{where}[]", open_ones)


def test_answers_are_described_whole(api):
    """Every member of every good answer is described and promised: a member that is missing or new is noticed."""
    open_ones = []
    for operation in api.contract.operations:
        if operation.path == "/openapi.json":
            continue
        for status, response in operation.responses.items():
            for media, content in response.get("content", {}).items():
                if media == "application/json":
                    closed(content["schema"], api.contract, f"{operation} {status}", open_ones)
    assert not open_ones, "\n".join(open_ones)


def test_served(bm, api):
    """To everybody, with an ETag, compressed; of this version."""
    answer = api.ask("GET", "/openapi.json")
    version = bm.ctl("--version").stdout.split()[-1]
    assert answer.json["info"]["version"] == version and answer.json["servers"] == [{"url": "/"}]
    etag = answer.headers["ETag"]
    assert api.ask("GET", "/openapi.json", headers={"If-None-Match": etag}).status == 304
    packed = api.ask("GET", "/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and packed.headers["ETag"] != etag
    assert gzip.decompress(packed.bytes) == answer.bytes and len(packed.bytes) < len(answer.bytes) / 5
    assert api.ask("GET", "/openapi.json", headers={"If-None-Match": packed.headers["ETag"]}).status == 304
    head = api.ask("HEAD", "/openapi.json")
    assert head.status == 200 and head.bytes == b"" and int(head.headers["Content-Length"]) == len(answer.bytes)


def test_what_follows_from_the_table(api):
    """Written by nobody: who must say who they are, and 304."""
    paths = api.contract.document["paths"]
    assert paths["/healthz"]["get"]["security"] == [] and "304" not in paths["/healthz"]["get"]["responses"]
    assert paths["/api/groups"]["get"]["security"] == [{"token": []}, {"session": []}]
    assert paths["/api/groups"]["post"]["security"] == [{"token": []}, {"session": [], "csrf": []}]
    assert "304" in paths["/api/groups"]["get"]["responses"]


class Forged:
    """An answer as the server does not give it."""

    def __init__(self, status, value=None, media="application/json", **headers):
        self.status = status
        self.headers = {"Content-Type": media, **headers} if value is not None else headers
        self.json = value
        self.bytes = b"" if value is None else json.dumps(value).encode()


GROUP = {"id": 1, "name": "g", "description": None, "database_count": 0, "created_at": "2025-11-02T08:00:00Z", "updated_at": None}
PROBLEM = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is no such group"}


@pytest.mark.parametrize(
    "method, target, body, answer, what",
    [
        ("GET", "/api/groups/1", None, Forged(200, GROUP), None),
        ("GET", "/api/groups/1", None, Forged(200, {**GROUP, "password": "x"}), "'password' was unexpected"),
        ("GET", "/api/groups/1", None, Forged(200, {k: v for k, v in GROUP.items() if k != "updated_at"}), "'updated_at' is a required"),
        ("GET", "/api/groups/1", None, Forged(200, {**GROUP, "id": "1"}), "id: '1' is not of type"),
        ("GET", "/api/groups/1", None, Forged(200, {**GROUP, "created_at": "2025-11-02 08:00:00"}), "created_at"),
        ("GET", "/api/groups/1", None, Forged(200, GROUP, "text/html"), "media type 'text/html'"),
        ("GET", "/api/groups/1", None, Forged(204), "the status 204 is not described"),
        ("GET", "/api/groups/1", None, Forged(302), "the status 302 is not described"),
        ("GET", "/api/groups/1", None, Forged(404, PROBLEM, "application/problem+json"), None),
        ("GET", "/api/groups/1", None, Forged(404, PROBLEM), "media type 'application/json'"),
        ("GET", "/api/groups/1", None, Forged(500, {"status": 500}, "application/problem+json"), "'detail' is a required"),
        ("GET", "/api/groups?limit=5", None, Forged(200, {"groups": [], "next_after": None}), None),
        ("GET", "/api/groups?limit=1001", None, Forged(200, {"groups": [], "next_after": None}), "the parameter limit was taken"),
        ("GET", "/api/groups?page=1", None, Forged(200, {"groups": [], "next_after": None}), "the parameter page was taken"),
        ("POST", "/api/groups", b'{"name": "g"}', Forged(201, GROUP, Location="/api/groups/1"), None),
        ("POST", "/api/groups", b'{"name": "g"}', Forged(201, GROUP), "the header Location is missing"),
        ("POST", "/api/groups", b'{"name": "g", "x": 1}', Forged(201, GROUP, Location="/"), "the body was taken: (all)"),
        ("POST", "/api/groups", None, Forged(201, GROUP, Location="/"), "no body was needed"),
        ("DELETE", "/api/groups/1", None, Forged(204), None),
        ("DELETE", "/api/groups/1", b"{}", Forged(204), "a body was taken"),
        ("DELETE", "/api/groups/1", None, Forged(204, GROUP), "there is content"),
        ("GET", "/api/nothing", None, Forged(200, {}), "the document knows no such path"),
        ("PUT", "/api/groups/1", None, Forged(200, GROUP), "the document knows no such path"),
    ],
)
def test_answers_are_held_against_it(api, method, target, body, answer, what):
    contract = Contract(api.contract.document)
    if what is None:
        contract.check(method, target, body, answer)
        return
    with pytest.raises(AssertionError) as refused:
        contract.check(method, target, body, answer)
    assert what in str(refused.value)


def test_every_test_asks_through_it(bm, api, monkeypatch):
    """ApiServer.ask and a session's ask both do."""
    monkeypatch.setattr(api.contract, "seen", set())
    monkeypatch.setattr(api.contract, "errors", lambda schema, value: ["no value fits"])
    for ask in (lambda: api.ask("GET", "/healthz"), lambda: api.ask("GET", "/api/groups", token=make_token(bm, "viewer"))):
        with pytest.raises(AssertionError, match="no value fits"):
            ask()


def test_pages_of_other_origins_may_send_every_header(bm):
    """A browser asks first whether it may: for all headers that the document has, and what a reload sends."""
    origin = "https://page.example"
    api = ApiServer(bm, BM_CORS_ORIGINS=origin)
    named = {p["name"].lower() for o in api.contract.operations for p in o.parameters if p["in"] == "header"}
    assert {"if-match", "idempotency-key", "range"} <= named
    asked = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
    given = api.ask("OPTIONS", "/api/groups/1", headers=asked).headers["Access-Control-Allow-Headers"]
    assert named | {"authorization", "content-type", "cache-control"} <= set(given.lower().split(", "))
