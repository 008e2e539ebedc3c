"""Who may ask backup-api, and what for: logins, sessions, tokens, roles, the audit log; and that no secret leaves."""

import concurrent.futures
import json
import os
import re
import time

import pytest

from harness.api import ApiServer, Session, make_token

PASSWORD = "correct horse battery"


@pytest.fixture
def api(bm):
    return ApiServer(bm)


def add_user(bm, name, role="viewer", password=PASSWORD):
    bm.ctl("user", "add", name, "--role", role, "--ask", stdin=password + "\n")
    return bm.value("SELECT id FROM users WHERE username = %s", name)


def refused(answer, status, *words):
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json" and answer.json["status"] == status
    text = json.dumps(answer.json)
    assert all(word in text for word in words), text
    return text


def routes(bm):
    """Every path that the program knows, with its role: straight from its table."""
    repository = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(repository, "api", "routes.c")) as f:
        found = re.findall(r'\{HTTP_(\w+),\s*"([^"]+)",\s*ROLE_(\w+)', f.read())
    assert len(found) > 15
    return [(method, re.sub(r"\{(?:big)?id\}", "1", path).replace("{name}", "x").replace("{file}", "x"), role) for method, path, role in found]


def some_body(method, path):
    takes_none = "logout" in path or path.startswith("/api/queues/")
    return {} if method in ("POST", "PATCH", "PUT") and not takes_none else None


# -- nobody, and roles


def test_nothing_but_health_and_login_without_identity(bm, api):
    open_to_all = {("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/api/login"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/")}
    for method, path, role in routes(bm):
        if role == "NONE":
            assert (method, path) in open_to_all or path.startswith("/docs"), (method, path)
            continue
        for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer nonsense"}, {"Cookie": "bm_session=x"},
                        {"Authorization": "Bearer bm_" + "x" * 43}, {"Cookie": "bm_session=" + "y" * 43}):  # fmt: skip
            answer = api.ask(method, path, some_body(method, path), headers=headers)
            refused(answer, 401)
            assert answer.headers["WWW-Authenticate"]


def test_roles(bm, api):
    """Each role is refused what is above it, on every row of the table."""
    order = ["VIEWER", "OPERATOR", "ADMIN"]
    for mine in order:
        token = make_token(bm, mine.lower())
        for method, path, role in routes(bm):
            if role == "NONE":
                continue
            body = some_body(method, path)
            if order.index(role) > order.index(mine):
                refused(api.ask(method, path, body, token), 403, role.lower(), mine.lower())
            elif method == "GET" and path != "/api/events":  # a stream: test_api_events.py
                assert api.ask(method, path, body, token).status in (200, 404)


def test_a_viewer_reads_and_changes_nothing(bm, api):
    add_user(bm, "vera")
    bm.ctl("group", "add", "g")
    session = api.log_in("vera", PASSWORD)
    everything = "SELECT (SELECT json_agg(u) FROM (SELECT id, username, role, hashed_password, is_active FROM users) u)::text, " \
                 "(SELECT json_agg(g) FROM groups g)::text, (SELECT count(*) FROM api_tokens), (SELECT count(*) FROM audit_log)"  # fmt: skip
    before = bm.query(everything)
    assert session.ask("GET", "/api/groups").json["groups"][0]["name"] == "g"
    assert session.ask("GET", "/api/me").json["role"] == "viewer"
    bodies = {"/api/users": {"username": "x", "role": "admin", "password": PASSWORD}, "/api/tokens": {"name": "x", "role": "viewer"},
              "/api/groups": {"name": "x"}}  # fmt: skip
    for method, path, role in routes(bm):
        if method != "GET" and role not in ("NONE", "VIEWER"):  # their own session and password are theirs
            refused(session.ask(method, path, bodies.get(path, {"name": "x"}) if some_body(method, path) is not None else None), 403)
    assert bm.query(everything) == before


# -- sessions


def test_login_and_logout(bm, api):
    user = add_user(bm, "anna", "admin")
    session = api.log_in("anna", PASSWORD)
    assert session.facts == {"user_id": user, "username": "anna", "role": "admin", "token_name": None, "csrf_token": session.csrf}
    attributes = session.set_cookie.split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} < set(attributes) and "Secure" not in attributes
    assert session.ask("GET", "/api/me").json == session.facts
    row = bm.query("SELECT * FROM sessions")
    assert len(row) == 1 and session.cookie not in str(row) and row[0]["user_id"] == user
    assert bm.value("SELECT last_login_at IS NOT NULL FROM users WHERE id = %s", user)

    out = session.ask("POST", "/api/logout")
    assert out.status == 204 and "Max-Age=0" in out.headers["Set-Cookie"]
    refused(session.ask("GET", "/api/me"), 401)
    assert bm.value("SELECT count(*) FROM sessions") == 0
    log = bm.query("SELECT action, username, object_id, remote_address, program FROM audit_log WHERE action LIKE 'log%%' ORDER BY id")
    assert [r["action"] for r in log] == ["login", "logout"]
    assert all((r["username"], r["object_id"], r["remote_address"], r["program"]) == ("anna", user, "127.0.0.1", "backup-api") for r in log)


def test_csrf(bm, api):
    add_user(bm, "anna", "admin")
    session, other = api.log_in("anna", PASSWORD), api.log_in("anna", PASSWORD)
    assert session.csrf != other.csrf
    for csrf in (None, "", "x" * 64, other.csrf, session.csrf[:-1]):
        refused(session.ask("POST", "/api/groups", {"name": "g"}, {"X-CSRF-Token": csrf}), 403, "X-CSRF-Token", "/api/me")
        refused(session.ask("POST", "/api/logout", headers={"X-CSRF-Token": csrf}), 403)
    assert bm.value("SELECT count(*) FROM groups") == 0
    assert session.ask("POST", "/api/groups", {"name": "g"}).status == 201
    # A form of another site can't even say application/json.
    refused(session.ask("POST", "/api/groups", b'{"name": "h"}', {"Content-Type": "text/plain"}), 415)
    refused(api.ask("POST", "/api/login", b"{}", headers={"Content-Type": "text/plain"}), 415)


def test_a_session_behind_a_proxy_with_passwords(bm, api):
    """A browser sends a proxy's Authorization: Basic with everything: it is not ours, and the cookie counts."""
    add_user(bm, "anna", "admin")
    session = api.log_in("anna", PASSWORD)
    proxy = {"Authorization": "Basic YTpi"}
    assert session.ask("GET", "/api/me", headers=proxy).json["username"] == "anna"
    assert session.ask("POST", "/api/groups", {"name": "g"}, proxy).status == 201
    refused(session.ask("POST", "/api/groups", {"name": "h"}, {**proxy, "X-CSRF-Token": None}), 403)
    # a token that is no good is not made up for by a cookie
    refused(session.ask("GET", "/api/me", headers={"Authorization": "Bearer bm_" + "x" * 43}), 401)


def test_sessions_end(bm, api):
    user = add_user(bm, "anna", "admin")
    add_user(bm, "bruno", "admin")
    session = api.log_in("anna", PASSWORD)
    bm.query("UPDATE sessions SET expires_at = now()")
    refused(session.ask("GET", "/api/me"), 401)  # nothing was remembered yet

    boss = api.log_in("bruno", PASSWORD)
    session = api.log_in("anna", PASSWORD)
    assert session.ask("GET", "/api/me").status == 200
    assert boss.ask("PATCH", f"/api/users/{user}", {"password": "another long one"}).status == 200
    refused(session.ask("GET", "/api/me"), 401)  # at once: it was this process that changed it
    api.log_in("anna", PASSWORD, expect=401)
    session = api.log_in("anna", "another long one")
    assert boss.ask("PATCH", f"/api/users/{user}", {"is_active": False}).json["is_active"] is False
    refused(session.ask("GET", "/api/me"), 401)
    api.log_in("anna", "another long one", expect=401)
    assert boss.ask("PATCH", f"/api/users/{user}", {"is_active": True}).status == 200
    refused(session.ask("GET", "/api/me"), 401)

    session = api.log_in("anna", "another long one")
    assert boss.ask("PATCH", f"/api/users/{user}", {"role": "viewer"}).json["role"] == "viewer"
    assert session.ask("GET", "/api/me").json["role"] == "viewer"  # a session's role is the user's of now


@pytest.mark.parametrize("change", ["hashed_password = '$7$ of the admin'", "is_active = false"])
def test_a_login_under_way_loses_against_a_change(bm, api, wait_for, change):
    """Another password, or switched off, while the old password is being compared: no session outlives that."""
    user = add_user(bm, "anna")
    admin = bm.postgres.connect(bm.database)
    admin.autocommit = False
    with concurrent.futures.ThreadPoolExecutor(1) as pool, admin.cursor() as cursor:
        cursor.execute(f"UPDATE users SET {change} WHERE id = %s", (user,))
        cursor.execute("DELETE FROM sessions WHERE user_id = %s", (user,))
        answer = pool.submit(api.ask, "POST", "/api/login", {"username": "anna", "password": PASSWORD})
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        wait_for(lambda: bm.value(waits) == 1)
        admin.commit()
        refused(answer.result(), 401, "wrong")
    admin.close()
    assert bm.value("SELECT count(*) FROM sessions") == 0
    assert bm.value("SELECT last_login_at FROM users WHERE id = %s", user) is None
    assert bm.value("SELECT count(*) FROM audit_log WHERE action = 'login'") == 0


def test_a_login_that_comes_first_ends_with_the_password(bm, api, wait_for):
    """Of somebody who gives themselves another password while it is being written: that session ends as well."""
    user = add_user(bm, "anna")
    session = api.log_in("anna", PASSWORD)
    login = bm.postgres.connect(bm.database)
    login.autocommit = False
    with concurrent.futures.ThreadPoolExecutor(1) as pool, login.cursor() as cursor:
        cursor.execute("SELECT FROM users WHERE id = %s FOR NO KEY UPDATE", (user,))
        cursor.execute("INSERT INTO sessions (secret_hash, user_id, expires_at) VALUES (repeat('a', 64), %s, now() + interval '1 hour')", (user,))
        answer = pool.submit(session.ask, "PATCH", "/api/me", {"current_password": PASSWORD, "new_password": "another long one"})
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        wait_for(lambda: bm.value(waits) == 1)
        login.commit()
        assert answer.result().status == 200
    login.close()
    assert bm.value("SELECT count(*) FROM sessions WHERE secret_hash = repeat('a', 64)") == 0


def test_sessions_of_one_user_are_bounded(bm, api):
    user = add_user(bm, "anna")
    bm.query("INSERT INTO sessions (secret_hash, user_id, expires_at, last_seen_at)"
             " SELECT encode(sha256(g::text::bytea), 'hex'), %s, now() + interval '1 hour', now() - g * interval '1 minute'"
             " FROM generate_series(1, 60) g", user)  # fmt: skip
    bm.query("INSERT INTO sessions (secret_hash, user_id, expires_at) SELECT repeat('a', 64), id, now() - interval '1 hour'"
             " FROM users WHERE username = 'system'")  # fmt: skip
    session = api.log_in("anna", PASSWORD)
    assert bm.value("SELECT count(*) FROM sessions") == 20
    assert session.ask("GET", "/api/me").status == 200


@pytest.mark.parametrize("setting,headers,secure", [
    ({}, {"X-Forwarded-Proto": "https"}, False),
    ({"BM_TRUSTED_PROXIES": "10.0.0.1, 127.0.0.1"}, {"X-Forwarded-Proto": "https"}, True),
    ({"BM_TRUSTED_PROXIES": "127.0.0.1"}, {"X-Forwarded-Proto": "http"}, False),
    ({"BM_TRUSTED_PROXIES": "127.0.0.1", "BM_COOKIE_SECURE": "never"}, {"X-Forwarded-Proto": "https"}, False),
    ({"BM_COOKIE_SECURE": "always"}, {}, True),
])  # fmt: skip
def test_secure_cookie_and_the_clients_address(bm, setting, headers, secure):
    api = ApiServer(bm, **setting)
    add_user(bm, "anna")
    answer = api.ask("POST", "/api/login", {"username": "anna", "password": PASSWORD},
                     headers={**headers, "X-Forwarded-For": "203.0.113.9, 198.51.100.7"})  # fmt: skip
    assert ("Secure" in answer.headers["Set-Cookie"].split("; ")) is secure
    seen = bm.value("SELECT remote_address FROM audit_log WHERE action = 'login'")
    assert seen == ("198.51.100.7" if "127.0.0.1" in setting.get("BM_TRUSTED_PROXIES", "") else "127.0.0.1")


def test_what_a_client_says_of_itself_before_the_proxy_does(bm):
    """A proxy that adds a header of its own, behind the client's: the last one counts."""
    api = ApiServer(bm, BM_TRUSTED_PROXIES="127.0.0.1")
    add_user(bm, "anna")
    body = json.dumps({"username": "anna", "password": PASSWORD}).encode()
    with api.connect() as s:
        s.sendall(b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
                  b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 198.51.100.7\r\n"
                  b"X-Forwarded-Proto: http\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))  # fmt: skip
        answer = s.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 200") and "; Secure" not in answer
    assert bm.value("SELECT remote_address FROM audit_log WHERE action = 'login'") == "198.51.100.7"


# -- passwords


def test_bcrypt_is_verified_and_upgraded(bm, api):
    from ctypes import CDLL, c_char_p

    crypt = CDLL("libcrypt.so.1").crypt
    crypt.restype = c_char_p
    old = {}
    for prefix in ("2a", "2b", "2y"):
        old[prefix] = crypt(PASSWORD.encode(), f"${prefix}$04$abcdefghijklmnopqrstuu".encode()).decode()
        assert old[prefix].startswith(f"${prefix}$")
        bm.query("INSERT INTO users (username, email, hashed_password, is_active, is_admin) VALUES (%s, %s, %s, true, %s)",
                 prefix, f"{prefix}@x", old[prefix], prefix == "2b")  # fmt: skip
    for prefix, hash in old.items():
        api.log_in(prefix, "wrong " + PASSWORD, expect=401)
        assert bm.value("SELECT hashed_password FROM users WHERE username = %s", prefix) == hash
        assert api.log_in(prefix, PASSWORD).facts["role"] == ("admin" if prefix == "2b" else "viewer")
        new = bm.value("SELECT hashed_password FROM users WHERE username = %s", prefix)
        assert new.startswith("$7$")
        assert bm.value("SELECT l.hashed_password FROM legacy_passwords l JOIN users u ON u.id = user_id WHERE username = %s", prefix) == hash
        api.log_in(prefix, PASSWORD)
        assert bm.value("SELECT hashed_password FROM users WHERE username = %s", prefix) == new
    bm.ctl("user", "password", "2a")
    assert bm.value("SELECT count(*) FROM legacy_passwords") == 2  # an old password does not come back


def test_who_can_not_log_in(bm, api):
    add_user(bm, "pattern")
    good = bm.value("SELECT hashed_password FROM users WHERE username = 'pattern'")
    for name, hash, active in (("none", "!", True), ("empty", "", True), ("odd", "plain", True), ("off", good, False), ("null", good, None)):
        bm.query("INSERT INTO users (username, email, hashed_password, is_active) VALUES (%s, %s, %s, %s)", name, f"{name}@x", hash, active)
        for password in {PASSWORD, "!", hash or "x"}:
            answer = api.log_in(name, password, expect=401)
            assert answer.json["detail"] == "the user name or the password is wrong"
    assert api.log_in("nobody", PASSWORD, expect=401).json["detail"] == "the user name or the password is wrong"
    api.log_in("system", "!", expect=401)
    for body in ({}, {"username": "a"}, {"username": 1, "password": "x"}, {"username": "a", "password": "x" * 1000}, {"username": "a", "password": "b", "c": 1}):
        refused(api.ask("POST", "/api/login", body), 422)


def test_many_logins_at_once(bm, api):
    """More than are hashed at once, fewer than may wait: all are answered."""
    for i in range(3):
        add_user(bm, f"u{i}")
    with concurrent.futures.ThreadPoolExecutor(15) as pool:
        found = list(pool.map(lambda i: api.ask("POST", "/api/login", {"username": f"u{i % 3}", "password": PASSWORD}).status, range(15)))
    assert found == [200] * 15


def test_rate_limit(bm, api):
    add_user(bm, "anna")
    for _ in range(5):
        api.log_in("anna", "wrong password", expect=401)
    answer = api.log_in("anna", PASSWORD, expect=429)  # the right one too
    assert 0 < int(answer.headers["Retry-After"]) <= 300 and "seconds" in answer.json["detail"]
    add_user(bm, "bruno")
    for _ in range(4):
        api.log_in("bruno", "wrong password", expect=401)
    api.log_in("bruno", PASSWORD)  # starts anew
    for i in range(11):  # this address' twentieth
        api.log_in(f"x{i}", "wrong password", expect=401)
    api.log_in("carla", "wrong password", expect=429)
    assert bm.value("SELECT count(*) FROM audit_log WHERE action = 'login'") == 1


def test_tries_that_come_to_no_end_do_not_count(bm, api):
    """PostgreSQL can't say which password is right: nobody is shut out for that when it can again."""
    add_user(bm, "anna")
    session = api.log_in("anna", PASSWORD)
    change = {"current_password": PASSWORD, "new_password": PASSWORD + "!"}
    bm.query("ALTER TABLE users RENAME COLUMN hashed_password TO away")
    for _ in range(11):
        api.log_in("anna", PASSWORD, expect=503)
        refused(session.ask("PATCH", "/api/me", change), 503)
    bm.query("ALTER TABLE users RENAME COLUMN away TO hashed_password")
    assert session.ask("PATCH", "/api/me", change).status == 200
    api.log_in("anna", PASSWORD + "!")


# -- one's own password


def test_own_password(bm, api):
    user = add_user(bm, "anna", "operator")
    here, elsewhere = api.log_in("anna", PASSWORD), api.log_in("anna", PASSWORD)
    script = here.ask("POST", "/api/tokens", {"name": "script", "role": "viewer"}).json["token"]
    bm.query("INSERT INTO legacy_passwords VALUES (%s, '$2b$04$old')", user)
    new = "another long one"
    answer = here.ask("PATCH", "/api/me", {"current_password": PASSWORD, "new_password": new})
    assert answer.status == 200
    again = Session(api, answer)
    assert again.cookie != here.cookie and again.csrf != here.csrf
    assert answer.json == {**here.facts, "csrf_token": again.csrf} == again.ask("GET", "/api/me").json
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} < set(again.set_cookie.split("; "))
    for ended in (here, elsewhere):
        refused(ended.ask("GET", "/api/me"), 401)  # at once
    assert api.ask("GET", "/api/me", token=script).status == 200  # tokens have ends of their own
    assert bm.value("SELECT count(*) FROM sessions") == 1 and bm.value("SELECT count(*) FROM legacy_passwords") == 0
    api.log_in("anna", PASSWORD, expect=401)
    api.log_in("anna", new)
    row = bm.query("SELECT * FROM audit_log WHERE action = 'update' AND object_kind = 'user'")[0]
    assert (row["username"], row["object_id"], row["changes"]) == ("anna", user, {"hashed_password": {"old": "***", "new": "***"}})
    assert PASSWORD not in api.process.log() and new not in api.process.log()


def test_own_password_refused(bm, api):
    add_user(bm, "anna")
    session = api.log_in("anna", PASSWORD)
    hash = bm.value("SELECT hashed_password FROM users WHERE username = 'anna'")

    def change(status, *words, body=None, **fields):
        body = body or {"current_password": PASSWORD, "new_password": "another long one", **fields}
        text = refused(session.ask("PATCH", "/api/me", body), status, *words)
        assert PASSWORD not in text and "another" not in text

    change(422, "current_password", "not your password", current_password="wrong password")
    for bad in ("short", "x" * 257, "control\u0001character", PASSWORD, 1, None):
        change(422, "new_password", new_password=bad)
    change(422, "current_password", "new_password", body={"password": "another long one"})
    change(422, "username", username="bruno")
    refused(session.ask("PATCH", "/api/me", {"current_password": PASSWORD, "new_password": "another long one"}, {"X-CSRF-Token": None}), 403)
    mine = make_token(bm, "admin", created_by=bm.value("SELECT id FROM users WHERE username = 'anna'"))
    for token in (mine, make_token(bm)):
        refused(api.ask("PATCH", "/api/me", {"current_password": PASSWORD, "new_password": "another long one"}, token), 403, "token")
    assert bm.value("SELECT hashed_password FROM users WHERE username = 'anna'") == hash
    assert session.ask("GET", "/api/me").status == 200


def test_own_password_is_not_guessed_with_a_cookie(bm, api):
    """Tries count as those of logins, together with them."""
    add_user(bm, "anna")
    session = api.log_in("anna", PASSWORD)
    body = {"current_password": "wrong password", "new_password": "another long one"}
    for _ in range(3):
        refused(session.ask("PATCH", "/api/me", body), 422)
    for _ in range(2):
        api.log_in("anna", "wrong password", expect=401)
    answer = session.ask("PATCH", "/api/me", {**body, "current_password": PASSWORD})  # the right one too
    refused(answer, 429)
    assert 0 < int(answer.headers["Retry-After"]) <= 300
    api.log_in("anna", PASSWORD, expect=429)


def test_own_password_loses_against_a_change_meanwhile(bm, api, wait_for):
    """An admin gives another password while the old one is being compared: the admin's stays."""
    add_user(bm, "anna")
    session = api.log_in("anna", PASSWORD)
    admin = bm.postgres.connect(bm.database)
    admin.autocommit = False
    with concurrent.futures.ThreadPoolExecutor(1) as pool, admin.cursor() as cursor:
        cursor.execute("UPDATE users SET hashed_password = '$7$ of the admin' WHERE username = 'anna'")
        body = {"current_password": PASSWORD, "new_password": "another long one"}
        answer = pool.submit(session.ask, "PATCH", "/api/me", body)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        wait_for(lambda: bm.value(waits) == 1)
        admin.commit()
        refused(answer.result(), 409, "meanwhile")
    admin.close()
    assert bm.value("SELECT hashed_password FROM users WHERE username = 'anna'") == "$7$ of the admin"
    assert session.ask("GET", "/api/me").status == 200 and bm.value("SELECT count(*) FROM sessions") == 1


# -- tokens


def test_tokens_of_the_command_line(bm, api):
    token = bm.ctl("token", "create", "script", "--role", "operator", json=True)["token"]
    assert api.ask("GET", "/api/me", token=token).json == {
        "user_id": None, "username": None, "role": "operator", "token_name": "script", "csrf_token": None}  # fmt: skip
    assert api.ask("GET", "/api/groups", headers={"Authorization": f"bearer {token}"}).status == 200
    assert bm.value("SELECT last_used_at IS NOT NULL FROM api_tokens")
    refused(api.ask("POST", "/api/logout", token=token), 409, "/api/tokens/{id}")
    refused(api.ask("GET", "/api/me", headers={"Cookie": f"bm_session={token}"}), 401)
    admin = make_token(bm)
    assert api.ask("POST", "/api/groups", {"name": "g"}, admin).status == 201  # no CSRF header: nothing rides on a cookie
    row = bm.query("SELECT username, token_name, user_id FROM audit_log WHERE object_kind = 'group'")[0]
    assert row["username"] is None and row["token_name"].startswith("t")


def test_ended_and_revoked_tokens(bm, api, wait_for):
    refused(api.ask("GET", "/api/me", token=make_token(bm, expires_at="2020-01-01T00:00:00Z")), 401)
    refused(api.ask("GET", "/api/me", token=make_token(bm, revoked_at="2020-01-01T00:00:00Z")), 401)
    admin = make_token(bm)
    made = api.ask("POST", "/api/tokens", {"name": "x", "role": "viewer", "expires_days": 3}, admin)
    assert made.status == 201 and made.headers["Location"] == f"/api/tokens/{made.json['id']}"
    assert api.ask("GET", "/api/me", token=made.json["token"]).status == 200
    assert api.ask("DELETE", made.headers["Location"], token=admin).status == 204
    refused(api.ask("GET", "/api/me", token=made.json["token"]), 401)  # at once
    shown = api.ask("GET", made.headers["Location"], token=admin).json
    assert shown["is_active"] is False and shown["revoked_at"]

    other = bm.ctl("token", "create", "y", "--role", "viewer", json=True)["token"]
    assert api.ask("GET", "/api/me", token=other).status == 200
    bm.ctl("token", "revoke", "y")  # elsewhere: who asks five seconds later, or thereafter, is refused
    revoked = time.monotonic()

    def refused_by_now():
        asked = time.monotonic()
        status = api.ask("GET", "/api/me", token=other).status
        assert status == 401 or asked - revoked < 5
        return status == 401

    wait_for(refused_by_now)


def test_a_token_follows_its_maker(bm, api):
    user = add_user(bm, "otto", "operator")
    admin = make_token(bm)
    session = api.log_in("otto", PASSWORD)
    refused(session.ask("POST", "/api/tokens", {"name": "big", "role": "admin"}), 422, "role", "operator")
    mine = session.ask("POST", "/api/tokens", {"name": "mine", "role": "operator"}).json["token"]
    assert api.ask("GET", "/api/me", token=mine).json["username"] == "otto"
    refused(api.ask("POST", "/api/tokens", {"name": "child", "role": "viewer"}, mine), 403, "log in")
    assert api.ask("PATCH", f"/api/users/{user}", {"role": "viewer"}, admin).status == 200
    assert api.ask("GET", "/api/me", token=mine).json["role"] == "viewer"
    assert api.ask("PATCH", f"/api/users/{user}", {"is_active": False}, admin).status == 200
    refused(api.ask("GET", "/api/me", token=mine), 401)
    assert api.ask("PATCH", f"/api/users/{user}", {"is_active": True}, admin).status == 200
    assert api.ask("DELETE", f"/api/users/{user}", token=admin).status == 204
    refused(api.ask("GET", "/api/me", token=mine), 401)
    assert bm.value("SELECT count(*) FROM api_tokens WHERE name = 'mine'") == 0


def test_whose_tokens_are_seen(bm, api):
    add_user(bm, "otto", "operator")
    add_user(bm, "olga", "operator")
    admin = make_token(bm)
    otto, olga = api.log_in("otto", PASSWORD), api.log_in("olga", PASSWORD)
    one = otto.ask("POST", "/api/tokens", {"name": "o", "role": "viewer"}).json
    refused(olga.ask("POST", "/api/tokens", {"name": "o", "role": "viewer"}), 409, "in use")
    assert [t["name"] for t in otto.ask("GET", "/api/tokens").json["tokens"]] == ["o"]
    assert olga.ask("GET", "/api/tokens").json == {"tokens": [], "next_after": None}
    refused(olga.ask("GET", f"/api/tokens/{one['id']}"), 404)
    refused(olga.ask("DELETE", f"/api/tokens/{one['id']}"), 404)
    assert api.ask("GET", "/api/me", token=one["token"]).status == 200
    assert len(api.ask("GET", "/api/tokens", token=admin).json["tokens"]) == 2
    first = api.ask("GET", "/api/tokens?limit=1", token=admin).json
    second = api.ask("GET", f"/api/tokens?limit=1&after={first['next_after']}", token=admin).json
    assert first["tokens"][0]["id"] == first["next_after"] and second["next_after"] is None
    assert otto.ask("DELETE", f"/api/tokens/{one['id']}").status == 204


# -- users, groups


def test_users(bm, api):
    admin = make_token(bm)

    def ask(method, path, body=None):
        return api.ask(method, path, body, admin)

    made = ask("POST", "/api/users", {"username": "anna", "email": "a@example.org", "role": "admin", "password": PASSWORD})
    assert made.status == 201 and made.headers["Location"] == f"/api/users/{made.json['id']}"
    assert made.json["role"] == "admin" and made.json["is_active"] is True and "hashed_password" not in made.json
    assert api.log_in("anna", PASSWORD).facts["role"] == "admin"
    refused(ask("POST", "/api/users", {"username": "anna", "role": "viewer", "password": PASSWORD}), 409, "exists")
    for field, value in (("username", "a b"), ("username", "7"), ("email", "nonsense"), ("role", "root"), ("password", "swordfish"), ("password", "x\x01" * 9)):
        body = {"username": "b", "email": "b@example.org", "role": "viewer", "password": PASSWORD, field: value}
        answer = ask("POST", "/api/users", body)
        refused(answer, 422)
        assert [e["field"] for e in answer.json["errors"]] == [field], answer
        if field == "password":
            assert value not in json.dumps(answer.json)
    here = made.headers["Location"]
    for change in ({"is_active": False}, {"role": "viewer"}):
        refused(ask("PATCH", here, change), 409, "last active admin")
    refused(ask("DELETE", here), 409, "last active admin")
    refused(ask("PATCH", here, {}), 422, "nothing to change")
    refused(ask("PATCH", "/api/users/999", {"role": "viewer"}), 404)
    refused(ask("DELETE", "/api/users/999"), 404)
    refused(ask("GET", "/api/users/999"), 404)
    system = bm.value("SELECT id FROM users WHERE username = 'system'")
    refused(ask("PATCH", f"/api/users/{system}", {"role": "admin", "password": PASSWORD}), 404)
    other = ask("POST", "/api/users", {"username": "bruno", "role": "viewer", "password": PASSWORD}).json
    assert other["email"] == "bruno@localhost"
    refused(ask("PATCH", f"/api/users/{other['id']}", {"username": "anna"}), 409, "has that name")
    assert ask("PATCH", f"/api/users/{other['id']}", {"username": "berto", "role": "admin", "email": "x@y"}).json["username"] == "berto"
    assert ask("DELETE", here).status == 204
    assert [u["username"] for u in ask("GET", "/api/users").json["users"]] == ["berto"]


def test_only_one_of_two_last_admins_can_go(bm, api):
    ids = [add_user(bm, name, "admin") for name in ("anna", "bruno")]
    admin = make_token(bm)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = sorted(pool.map(lambda i: api.ask("PATCH", f"/api/users/{i}", {"role": "viewer"}, admin).status, ids))
    assert found == [200, 409]


def test_groups(bm, api):
    add_user(bm, "anna", "admin")
    session = api.log_in("anna", PASSWORD)
    made = session.ask("POST", "/api/groups", {"name": "production", "description": "what must\nnot be lost"})
    assert made.status == 201 and made.json["database_count"] == 0
    here = made.headers["Location"]
    assert bm.value("SELECT u.username FROM groups g JOIN users u ON u.id = g.created_by") == "anna"
    refused(session.ask("POST", "/api/groups", {"name": "production"}), 409, "exists already")
    refused(session.ask("POST", "/api/groups", {"name": "7"}), 422, "name")
    assert session.ask("PATCH", here, {"description": None}).json["description"] is None
    assert session.ask("PATCH", here, {"name": "prod"}).json["name"] == "prod"
    bm.ctl("database", "add", "d", "--type", "file", "--path", bm.random_file("f", 1), "--group", "prod")
    refused(session.ask("DELETE", here), 409, "databases in it")
    bm.ctl("database", "update", "d", "--group", "")
    assert session.ask("DELETE", here).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        refused(session.ask(method, here, {"name": "x"} if method == "PATCH" else None), 404)


# -- the log, and secrets


def test_audit(bm, api):
    user = add_user(bm, "anna", "admin")
    session = api.log_in("anna", PASSWORD)
    group = session.ask("POST", "/api/groups", {"name": "g"}).json["id"]
    session.ask("PATCH", f"/api/groups/{group}", {"description": "d"})
    refused(session.ask("PATCH", f"/api/groups/{group + 1}", {"description": "d"}), 404)
    session.ask("DELETE", f"/api/groups/{group}")
    entries = session.ask("GET", f"/api/audit?object_kind=group&object_id={group}").json["entries"]
    assert [(e["action"], e["changes"]) for e in entries] == [
        ("remove", {"name": {"old": "g"}, "description": {"old": "d"}}),
        ("update", {"description": {"new": "d"}}),
        ("create", {"name": {"new": "g"}}),
    ]
    assert all((e["user_id"], e["username"], e["remote_address"], e["program"]) == (user, "anna", "127.0.0.1", "backup-api") for e in entries)
    assert len(session.ask("GET", "/api/audit?object_kind=group").json["entries"]) == 3  # what was refused left none
    page = session.ask("GET", "/api/audit?limit=2&username=anna").json
    assert len(page["entries"]) == 2 and page["next_before"] == page["entries"][1]["id"]
    rest = session.ask("GET", f"/api/audit?username=anna&before={page['next_before']}").json
    assert [e["action"] for e in rest["entries"]] == ["create", "login"] and rest["next_before"] is None
    refused(session.ask("GET", "/api/audit?limit=0"), 400)


def test_settings_that_are_no_json(bm):
    """Whatever somebody wrote into storage_config: the log takes note of it, and the change is made."""
    bm.query("INSERT INTO destinations (name, storage_type) VALUES ('d', 's3')")
    written = ["", "x", "[1]", '"text"', '{"bucket": "b"}', '{"bucket": "c"}', None]
    for config in written:
        bm.query("UPDATE destinations SET storage_config = %s", config)
    changes = [r["changes"]["storage_config"] for r in bm.query("SELECT changes FROM audit_log WHERE action = 'update' ORDER BY id")]
    assert len(changes) == len(written) and changes[-2]["members"] == ["bucket"] and changes[-2]["new"] == "***"


def test_no_secret_leaves(bm, api):
    """Neither answers nor logs nor the audit log hold a password, a hash, a cookie or a token."""
    admin = make_token(bm)
    said = []

    def ask(*args, **kwargs):
        answer = api.ask(*args, **kwargs)
        said.append(answer.bytes.decode())
        return answer

    user = ask("POST", "/api/users", {"username": "anna", "role": "operator", "password": PASSWORD}, token=admin).json["id"]
    ask("PATCH", f"/api/users/{user}", {"password": PASSWORD + "!"}, token=admin)
    ask("POST", "/api/login", {"username": "anna", "password": "a wrong password"})
    session = api.log_in("anna", PASSWORD + "!")
    made = session.ask("POST", "/api/tokens", {"name": "t", "role": "viewer"}).json["token"]
    ask("POST", "/api/users", {"username": "b", "role": "operator", "password": {"x": PASSWORD}}, token=admin)
    for path in ("/api/users", "/api/tokens", "/api/audit", f"/api/users/{user}", "/api/me"):
        assert ask("GET", path, token=admin).status == 200
    api.process.terminate()
    said.append(api.process.log())
    said.append(json.dumps(bm.query("SELECT changes, object_name, username FROM audit_log")))
    kept = [r["h"] for r in bm.query("SELECT hashed_password AS h FROM users UNION SELECT secret_hash FROM api_tokens UNION SELECT secret_hash FROM sessions")]
    for secret in [PASSWORD, "a wrong password", admin, made, session.cookie, session.csrf, *(k for k in kept if k != "!")]:
        assert not [text for text in said if secret in text], secret
