"""Input that means no good, generated from /openapi.json: for every operation parameters and bodies of wrong types, beyond every
bound, huge, deep, in bad UTF-8. Never a 5xx, always a problem document, no secret, and the server serves on."""

import concurrent.futures
import json
import urllib.parse

import pytest

from harness.api import ApiServer
from harness.planted import Planted
from harness.schema_values import RAW_BODIES, fitting, fitting_body, odd, odd_bodies

IDS = ("0", "-1", "1.0", "1e3", "0x1", "+1", "%201", "1%20", "a", "%00", "%ff", "%c0%af", "..", "%2e%2e", "%2f", "1%2f1", "%D9%A3", "null",
       "2147483648", "9223372036854775808", "9" * 300, "%", "%zz", "1;2", "1'--", "{id}", "x" * 2000, "")  # fmt: skip
RAW_QUERIES = ("%ff", "a=%ff", "limit=%00", "limit=%c3", "=", "=1", "&&&", "limit", "limit=", "limit=1&limit=2", "limit[]=1", "limit=1%00",
               "%6cimit=1&limit=1", "unknown_parameter=1", "a" * 4000, "&".join(f"p{i}=1" for i in range(500)), "limit=%zz", "?", "#")  # fmt: skip


@pytest.fixture
def api(bm):
    return ApiServer(bm)


@pytest.fixture
def planted(bm):
    return Planted(bm)


class Attack:
    """Asks as an admin and judges: held against the document by ask itself, and by what is wrong whatever it says."""

    def __init__(self, api, planted):
        self.api = api
        self.planted = planted
        self.asked = 0
        self.statuses = {}

    def ask(self, operation, path, body=None, headers=None):
        try:
            answer = self.api.ask(operation.method, path, body, self.planted.tokens["admin"], headers)
        except OSError as e:
            raise AssertionError(f"{operation.method} {path[:300]} ({len(path)} bytes) {str(body)[:300]} {headers}: {e!r}") from e
        what = f"{operation.method} {path[:300]} {str(body)[:300]}: {answer}"
        # 503 only where the document says that there may be too much of it at once
        assert answer.status < 500 or str(answer.status) in operation.responses, what
        if answer.status >= 400:
            assert answer.json["status"] == answer.status and answer.json["detail"], what
        assert self.planted.seen_in(answer.bytes.decode("utf-8", "replace")) == [], what
        self.asked += 1
        self.statuses.setdefault(operation.id, set()).add(answer.status)
        return answer

    def all(self, calls):
        """Side by side, as clients are."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(self.ask, *call) for call in calls]:
                done.result()


def is_stream(operation):
    """What has no end, or no JSON: asked with what is wrong about it by tests of its own."""
    content = operation.responses.get("200", {}).get("content", {})
    return "text/event-stream" in content


def encoded(value):
    """A value in a query; what isn't Unicode in bytes all the same."""
    text = value if isinstance(value, str) else json.dumps(value)
    return urllib.parse.quote(text.encode("utf-8", "surrogatepass")[:3000])


def dumped(value):
    """JSON as it can be written: a surrogate alone stays the escape that it is, numbers have their digits."""
    return json.dumps(value).encode()


def test_paths(bm, api, planted):
    attack = Attack(api, planted)
    for operation in api.contract.operations:
        if "{" not in operation.path or operation.path.startswith("/docs"):
            continue
        n = operation.path.count("{")
        for i in range(n):
            for name in IDS:
                path = planted.path(operation, [None] * i + [name])
                answer = attack.ask(operation, path)
                assert 400 <= answer.status < 500, (path, answer)
    assert api.ask("GET", "/healthz").status == 200 and attack.asked > 100


def test_queries(bm, api, planted):
    """Every parameter with every odd value. What the schema refuses, the server must: a 2xx would be against the document."""
    attack = Attack(api, planted)
    calls = []
    for operation in api.contract.operations:
        if is_stream(operation) or operation.method != "GET":
            continue
        path = planted.path(operation)
        calls += [(operation, f"{path}?{query}") for query in RAW_QUERIES]
        for name, parameter in operation.query.items():
            schema = api.contract.whole(parameter["schema"])
            calls += [(operation, f"{path}?{name}={encoded(value)}") for value in odd(schema)]
            good = encoded(fitting(schema))
            calls += [(operation, f"{path}?{name}={good}&{name}={good}"), (operation, f"{path}?{name}={good}&{'x' * 3000}=1")]
    calls = [call for call in calls if "#" not in call[1]]
    attack.all(calls)
    assert all(statuses <= {200, 303, 400, 404, 409, 414, 422, 503} for statuses in attack.statuses.values()), attack.statuses
    assert attack.statuses["listGroups"] == {200, 400, 414} or attack.statuses["listGroups"] == {200, 400}


def test_bodies(bm, api, planted):
    """Every member of every body with every odd value; bodies that are no JSON, no objects, huge, deep."""
    attack = Attack(api, planted)
    calls = []
    for operation in api.contract.operations:
        path = planted.path(operation)
        if operation.body is None:
            if operation.method not in ("GET", "DELETE"):
                calls += [(operation, path, b"{}"), (operation, path, b"x" * 1000)]
            continue
        content = operation.body["content"]["application/json"]
        schema = api.contract.whole(content["schema"])
        right = fitting_body({**content, "schema": schema})
        for media in ("text/plain", "application/xml", "application/jsonx", "", "application/json; charset=utf-16", "x" * 3000):
            calls.append((operation, path, dumped(right), {"Content-Type": media}))
        calls += [(operation, path, body) for body in RAW_BODIES]
        calls += [(operation, path, dumped(body)) for body in odd_bodies(schema, right)]
    # not once the server's limit on logins has been reached: it would be the only answer
    calls.sort(key=lambda call: call[0].id == "logIn")
    attack.all(calls)
    taken = {name for name, statuses in attack.statuses.items() if statuses & {200, 201, 202, 204}}
    refused = {name for name, statuses in attack.statuses.items() if statuses & {400, 415, 422}}
    for operation in api.contract.operations:
        if operation.body:
            assert operation.id in refused, (operation, attack.statuses[operation.id])
    assert taken and attack.asked > 500  # what is right among it is taken, so that it isn't all refused for one reason
    assert api.ask("GET", "/api/groups", token=planted.tokens["admin"]).status == 200
    assert planted.seen_in(api.process.log()) == []


def test_too_large(bm, api, planted):
    """One byte more than a body may have: 413, before it is read."""
    for operation in [o for o in api.contract.operations if o.body]:
        size = 2 << 20
        with api.connect() as sock:
            sock.sendall(
                f"{operation.method} {planted.path(operation)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {planted.tokens['admin']}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n".encode()
            )
            assert sock.recv(65536).startswith(b"HTTP/1.1 413 "), operation
