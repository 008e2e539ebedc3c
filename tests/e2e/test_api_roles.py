"""Who may: every operation of /openapi.json, generated from the document, asked by those who may not."""

import hashlib
import http.client
import secrets

import pytest

from harness.api import ApiServer, make_token
from harness.planted import Planted, fingerprint
from harness.schema_values import fitting_body

ROLES = ("viewer", "operator", "admin")
PASSWORD = "correct horse battery"


@pytest.fixture
def api(bm):
    return ApiServer(bm)


@pytest.fixture
def planted(bm):
    return Planted(bm)


def operations(api, above=None):
    """All but those that are open to all; above: those that this role may not have."""
    found = [o for o in api.contract.operations if o.role != "none"]
    if above:
        found = [o for o in found if ROLES.index(o.role) > ROLES.index(above)]
    assert above == "admin" or len(found) > 5
    return found


def body_of(api, operation):
    if operation.body is None:
        return None
    content = operation.body["content"]["application/json"]
    return fitting_body({**content, "schema": api.contract.whole(content["schema"])})


def refused(answer, status):
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json" and answer.json["status"] == status


def add_user(bm, name, role):
    bm.ctl("user", "add", name, "--role", role, "--ask", stdin=PASSWORD + "\n")


def cookie(value):
    return {"Cookie": f"bm_session={value}"}


def test_open_to_all(api):
    """What needs no identity is a short list, and nothing of it changes anything but a login."""
    open_ones = {(o.method, o.path) for o in api.contract.operations if o.role == "none"}
    assert open_ones == {("GET", "/"), ("GET", "/docs"), ("GET", "/docs/{name}"), ("GET", "/healthz"), ("GET", "/openapi.json"),
                         ("GET", "/readyz"), ("POST", "/api/login")}  # fmt: skip


def test_nobody(bm, api, planted):
    """No identity, and every wrong one: 401, and nothing has changed."""
    add_user(bm, "ended", "admin")
    ended = api.log_in("ended", PASSWORD)
    bm.query("UPDATE sessions SET expires_at = now() - interval '1 second'")
    add_user(bm, "off", "admin")
    off = api.log_in("off", PASSWORD)
    bm.query("UPDATE users SET is_active = false WHERE username = 'off'")
    gone = ApiServer(bm)  # remembers nobody
    wrong = {
        "nobody": {},
        "expired token": {"Authorization": f"Bearer {make_token(bm, expires_at='2020-01-01')}"},
        "revoked token": {"Authorization": f"Bearer {make_token(bm, revoked_at='2020-01-01')}"},
        "unknown token": {"Authorization": "Bearer bm_" + secrets.token_urlsafe(32)},
        "a cookie as a token": {"Authorization": f"Bearer {off.cookie}"},
        "another scheme": {"Authorization": f"Basic {planted.tokens['admin']}"},
        "foreign cookie": cookie(secrets.token_urlsafe(32)),
        "expired session": {**cookie(ended.cookie), "X-CSRF-Token": ended.csrf},
        "user switched off": {**cookie(off.cookie), "X-CSRF-Token": off.csrf},
        "a token as a cookie": cookie(planted.tokens["admin"]),
        "a stored hash": cookie(hashlib.sha256(off.cookie.encode()).hexdigest()),
    }
    before = fingerprint(bm)
    for operation in operations(gone):
        for name, headers in wrong.items():
            answer = gone.ask(operation.method, planted.path(operation), body_of(gone, operation), headers=headers)
            refused(answer, 401)
            assert answer.headers["WWW-Authenticate"], (operation, name)
    assert fingerprint(bm) == before


@pytest.mark.parametrize("role", ROLES)
def test_role(bm, api, planted, role):
    """By token and by session: 403 for what is above, and nothing has changed; what a role may do is not refused for it."""
    add_user(bm, "person", role)
    session = api.log_in("person", PASSWORD)
    before = fingerprint(bm)
    for operation in operations(api, role):
        body = body_of(api, operation)
        for answer in (
            api.ask(operation.method, planted.path(operation), body, planted.tokens[role]),
            session.ask(operation.method, planted.path(operation), body),
        ):
            refused(answer, 403)
            assert operation.role in answer.json["detail"] and role in answer.json["detail"]
    assert fingerprint(bm) == before
    allowed = [o for o in operations(api) if ROLES.index(o.role) <= ROLES.index(role)]
    for operation in allowed:
        if operation.method == "GET":
            assert status_of(api, planted.path(operation), planted.tokens[role]) not in (401, 403), operation


def status_of(api, path, token):
    """Without waiting for the answer's end: streams have none."""
    connection = http.client.HTTPConnection(*api.socket_address, timeout=60)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_csrf(bm, api, planted):
    """A cookie alone changes nothing: every method but GET wants the header, this session's own."""
    add_user(bm, "ada", "admin")
    session, other = api.log_in("ada", PASSWORD), api.log_in("ada", PASSWORD)
    before = fingerprint(bm)
    changing = [o for o in operations(api) if o.method != "GET"]
    assert len(changing) > 5
    for operation in changing:
        for token in (None, "", "x", other.csrf, session.cookie, session.csrf[:-1], session.csrf + "0", session.csrf.upper() + "!"):
            answer = session.ask(operation.method, planted.path(operation), body_of(api, operation), {"X-CSRF-Token": token})
            refused(answer, 403)
            assert "X-CSRF-Token" in answer.json["detail"], (operation, token)
    assert fingerprint(bm) == before
    assert session.ask("POST", "/api/groups", {"name": "with the header"}).status == 201


def test_simple_requests_of_other_pages(bm, api, planted):
    """What a form on another site can send with a cookie: never taken, whatever the media type."""
    add_user(bm, "ada", "admin")
    session = api.log_in("ada", PASSWORD)
    before = fingerprint(bm)
    for operation in [o for o in operations(api) if o.method == "POST"]:
        for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = session.ask("POST", planted.path(operation), b'{"name": "g"}',
                                 {"X-CSRF-Token": None, "Content-Type": media, "Origin": "https://evil.example"})  # fmt: skip
            assert 400 <= answer.status < 500 and "Access-Control-Allow-Origin" not in answer.headers
    assert fingerprint(bm) == before
