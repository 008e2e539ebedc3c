"""No answer holds a secret: every GET of /openapi.json, as each role, over rows with a secret in every place."""

import http.client

import pytest

from harness.api import ApiServer
from harness.planted import Planted
from harness.system import System
from test_api_roles import PASSWORD, ROLES, add_user


@pytest.fixture
def api(bm):
    return ApiServer(bm)


@pytest.fixture
def planted(bm):
    return Planted(bm)


def read(api, operation, path, token):
    """(status, all that was said, headers too). Of a stream that has no end, its beginning."""
    content = operation.responses.get("200", {}).get("content", {})
    if "text/event-stream" not in content:
        answer = api.ask("GET", path, token=token)
        return answer.status, f"{answer.headers.items()} {answer.bytes.decode('utf-8', 'replace')}"
    connection = http.client.HTTPConnection(*api.socket_address, timeout=60)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, f"{answer.headers.items()} {answer.read1(65536).decode('utf-8', 'replace')}"
    finally:
        connection.close()


@pytest.mark.parametrize("role", ROLES)
def test_every_answer(bm, api, planted, role):
    said = {}
    for operation in api.contract.operations:
        if operation.method != "GET":
            continue
        path = planted.path(operation)
        status, said[path] = read(api, operation, path, planted.tokens[role])
        if operation.role == "none" or ROLES.index(operation.role) <= ROLES.index(role):
            own = role == "admin" or "tokens/" not in path  # another's token is not there for them
            assert status in (200, 303) if own else status == 404, (operation, status, said[path])
        else:
            assert status == 403
    for path, text in said.items():
        assert planted.seen_in(text, references=role != "admin") == [], path
    # it was there to be seen: the rows were shown, with what replaces their secrets
    details = said[f"/api/databases/{planted.database}/details"]
    assert "***" in details and "shown" in details and "planted_20251102_080000" in details
    if role == "admin":
        assert "***" in said["/api/audit"] and planted.references["password_ref"] in said["/api/audit"]
    api.process.terminate()
    assert planted.seen_in(api.process.log(), references=True) == []


def test_a_secret_would_be_seen(bm, api, planted):
    """The test above can fail: a secret in a place that is shown is found in the answer."""
    for where in ("password_encrypted", "disk's literal", "copy's deep", "the admin's token's hash"):
        bm.query("UPDATE databases SET description = %s WHERE id = %s", f"a {planted.secrets[where]}!", planted.database)
        answer = api.ask("GET", f"/api/databases/{planted.database}/details", token=planted.tokens["viewer"])
        assert planted.seen_in(answer.bytes.decode()) == [where]


def test_sessions(bm, api, planted):
    """Of a session only its own csrf_token is shown, to itself."""
    add_user(bm, "ada", "admin")
    session, other = api.log_in("ada", PASSWORD), api.log_in("ada", PASSWORD)
    hashes = [r["secret_hash"] for r in bm.query("SELECT secret_hash FROM sessions")]
    kept = bm.value("SELECT hashed_password FROM users WHERE username = 'ada'")
    assert len(hashes) == 2 and kept.startswith("$7$")
    for operation in api.contract.operations:
        if operation.method != "GET" or "text/event-stream" in operation.responses.get("200", {}).get("content", {}):
            continue
        text = str(session.ask("GET", planted.path(operation)))
        for secret in (session.cookie, other.cookie, other.csrf, PASSWORD, kept, *hashes):
            assert secret not in text, operation
        assert (session.csrf in text) == (operation.path == "/api/me")


def test_rows_that_postgresql_refuses(bm, api, planted):
    """PostgreSQL repeats a row that it refuses, hash and all: neither the answer nor the log does."""
    bm.query("ALTER TABLE users ADD CONSTRAINT no_bob CHECK (username <> 'bob')")
    bm.query("ALTER TABLE destinations ADD COLUMN rack text CHECK (rack IS NOT NULL AND name <> 'new') NOT NULL DEFAULT ''")
    token = planted.tokens["admin"]
    user = {"username": "bob", "role": "viewer", "password": PASSWORD}
    destination = {"name": "new", "storage_type": "local", "base_path": planted.base, "credentials_ref": "env:WHERE_IT_IS"}
    for path, body, constraint in (("/api/users", user, "no_bob"), ("/api/destinations", destination, "destinations_")):
        answer = api.ask("POST", path, body, token)
        assert answer.status == 500 and constraint in answer.json["detail"], answer
        for text in (answer.bytes.decode(), api.process.log()):
            assert "$7$" not in text and "WHERE_IT_IS" not in text, text


def test_strangers_learn_nothing_of_the_servers(programs, own_postgres, redis, tmp, env):
    """Where PostgreSQL and Redis are, and as whom they are asked, is told to those who may ask, and to the log."""
    own_postgres.create_database("own")
    system = System(programs, own_postgres, redis, "own", tmp, {**env, "BM_DATABASE_URL": own_postgres.dsn("own")})
    try:
        system.ctl("migrate", "up")
        api = ApiServer(system)
        own_postgres.kill()
        redis.kill()
        stranger = {"Authorization": "Bearer bm_" + "x" * 43}
        for answer in (
            api.ask("GET", "/readyz"),
            api.ask("GET", "/api/backups", headers=stranger),
            api.ask("GET", "/api/backups", headers={"Cookie": "bm_session=" + "y" * 43}),
            api.ask("POST", "/api/login", {"username": "a", "password": "b"}),
        ):
            assert answer.status == 503 and "PostgreSQL" in answer.json["detail"], answer
            for place in (own_postgres.root, str(own_postgres.port), redis.root, "own"):
                assert place not in str(answer.json), answer
        assert own_postgres.root in api.process.log()
        redis.start()
        api.process.terminate()
    finally:
        system.close()
