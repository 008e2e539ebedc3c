"""backupctl user, token, group: who may do what, and what is written down about it."""

import hashlib
import json
import os
import re

import pytest


def hash_of(bm, name):
    return bm.value("SELECT hashed_password FROM users WHERE username = %s", name)


def log_of(bm, kind):
    rows = bm.query("SELECT action, object_name, program, changes FROM audit_log WHERE object_kind = %s ORDER BY id", kind)
    return [(r["action"], r["object_name"], r["program"], r["changes"]) for r in rows]


def refused(bm, *args, status=1, **kwargs):
    done = bm.ctl(*args, check=False, **kwargs)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == status and len(lines) == 1 and done.stdout == "", (done.returncode, done.stdout, done.stderr)
    return lines[0]


def test_users(bm):
    secret = os.path.join(bm.tmp, "password")
    with open(secret, "w") as f:
        f.write("correct horse battery\n")
    os.chmod(secret, 0o644)
    added = bm.ctl("user", "add", "anna", "--role", "admin", "--password-ref", f"file:{secret}", json=True)
    assert {k: added[k] for k in ("username", "email", "role", "is_active")} == {
        "username": "anna", "email": "anna@localhost", "role": "admin", "is_active": True}  # fmt: skip
    assert "password" not in added and hash_of(bm, "anna").startswith("$7$")
    assert bm.value("SELECT is_admin FROM users WHERE username = 'anna'")

    made = bm.ctl("user", "add", "bruno", "--role", "viewer", "--email", "b@example.org", json=True)
    assert len(made["password"]) == 20
    shown = bm.ctl("user", "add", "carla", "--role", "operator").stdout
    assert re.search(r"^password: [A-Za-z0-9]{20}$", shown, re.M)
    before = hash_of(bm, "bruno")
    bm.ctl("user", "password", "bruno", "--ask", stdin="another password\n")
    assert hash_of(bm, "bruno") != before

    assert [u["username"] for u in bm.ctl("user", "list", json=True)] == ["anna", "bruno", "carla"]
    bm.ctl("user", "update", "carla", "--role", "viewer", "--name", "carlotta")
    assert bm.ctl("user", "show", "carlotta", json=True)["role"] == "viewer"
    bm.ctl("user", "disable", "bruno")
    assert bm.ctl("user", "show", "bruno", json=True)["is_active"] is False
    bm.ctl("user", "enable", "bruno")
    bm.ctl("user", "remove", "carlotta")
    assert "carlotta" not in bm.ctl("user", "list").stdout

    log = log_of(bm, "user")
    assert [(a, n) for a, n, _, _ in log if n != "system"] == [
        ("create", "anna"), ("create", "bruno"), ("create", "carla"), ("update", "bruno"), ("update", "carlotta"),
        ("update", "bruno"), ("update", "bruno"), ("remove", "carlotta")]  # fmt: skip
    assert all(program == "backupctl" for _, n, program, _ in log if n != "system")
    assert log[-5][3] == {"hashed_password": {"old": "***", "new": "***"}}
    assert log[-4][3] == {"username": {"old": "carla", "new": "carlotta"}, "role": {"old": "operator", "new": "viewer"}}
    assert "$7$" not in json.dumps([entry[3] for entry in log])


def test_refusals_of_users(bm):
    add = ("user", "add")
    assert "--role" in refused(bm, *add, "x", status=2)
    assert "viewer, operator or admin" in refused(bm, *add, "x", "--role", "root", status=2)
    for name in ("7", "-x", "a b", "a:b", "x" * 101):
        refused(bm, *add, "--role", "viewer", "--", name, status=2)
    assert "email" in refused(bm, *add, "x", "--role", "viewer", "--email", "nonsense", status=2)
    line = refused(bm, *add, "x", "--role", "viewer", "--ask", stdin="short-one\n", status=2)
    assert "too short" in line and "short-one" not in line
    assert "too long" in refused(bm, *add, "x", "--role", "viewer", "--ask", stdin="y" * 300 + "\n", status=2)
    assert "no password" in refused(bm, *add, "x", "--role", "viewer", "--ask", stdin="", status=2)
    assert bm.ctl("user", "list", json=True) == []
    bm.ctl(*add, "x", "--role", "viewer")
    assert "exists already" in refused(bm, *add, "x", "--role", "viewer")
    assert "user list" in refused(bm, "user", "show", "nobody")
    assert "user list" in refused(bm, "user", "password", "system")  # the built-in user is no person


def test_the_last_admin_stays(bm):
    bm.ctl("user", "add", "anna", "--role", "admin")
    bm.ctl("user", "add", "bruno", "--role", "admin")
    bm.ctl("user", "disable", "bruno")
    for change in (("disable", "anna"), ("remove", "anna"), ("update", "anna", "--role", "operator")):
        assert "last active admin" in refused(bm, "user", *change)
    assert bm.ctl("user", "show", "anna", json=True)["role"] == "admin"
    bm.ctl("user", "enable", "bruno")
    bm.ctl("user", "update", "anna", "--role", "operator")
    assert "has that name" in refused(bm, "user", "update", "anna", "--name", "bruno")


def test_who_made_something_is_disabled_not_removed(bm):
    bm.ctl("user", "add", "anna", "--role", "viewer")
    bm.query("INSERT INTO groups (name, created_by) SELECT 'hers', id FROM users WHERE username = 'anna'")
    line = refused(bm, "user", "remove", "anna")
    assert "groups" in line and "disable" in line


def test_tokens(bm):
    made = bm.ctl("token", "create", "deploy", "--role", "operator", "--expires", 30, json=True)
    token = made["token"]
    assert re.fullmatch(r"bm_[A-Za-z0-9_-]{43}", token) and made["role"] == "operator" and made["expires_at"]
    row = bm.query("SELECT * FROM api_tokens")[0]
    assert row["secret_hash"] == hashlib.sha256(token.encode()).hexdigest() and row["created_by"] is None
    assert bm.value("SELECT expires_at - created_at = interval '30 days' FROM api_tokens")
    done = bm.ctl("token", "create", "forever", "--role", "viewer")
    assert re.fullmatch(r"bm_\S{43}\n", done.stdout) and "once" in done.stderr
    assert "in use already" in refused(bm, "token", "create", "deploy", "--role", "viewer")

    listed = bm.ctl("token", "list").stdout + json.dumps(bm.ctl("token", "list", json=True))
    assert "deploy" in listed and token not in listed and row["secret_hash"] not in listed
    bm.ctl("token", "revoke", "deploy")
    assert "deploy" in refused(bm, "token", "revoke", "deploy")
    assert [t["is_active"] for t in bm.ctl("token", "list", json=True)] == [False, True]
    again = bm.ctl("token", "create", "deploy", "--role", "viewer", json=True)  # a revoked one's name is free
    assert again["token"] != token

    refused(bm, "token", "create", "x", "--role", "root", status=2)
    refused(bm, "token", "create", "x", status=2)
    for days in ("0", "-1", "3651", "soon"):
        refused(bm, "token", "create", "x", "--role", "viewer", "--expires", days, status=2)
    log = log_of(bm, "token")
    assert [(a, n) for a, n, _, _ in log] == [("create", "deploy"), ("create", "forever"), ("update", "deploy"), ("create", "deploy")]
    assert row["secret_hash"] not in json.dumps([entry[3] for entry in log])


def test_groups(bm, tmp):
    bm.ctl("group", "add", "production", "--description", "what must not be lost")
    path = bm.random_file("f", 10)
    bm.ctl("database", "add", "d", "--type", "file", "--path", path, "--group", "production")
    assert bm.ctl("database", "show", "d", json=True)["group"] == "production"
    assert bm.ctl("group", "list", json=True)[0]["database_count"] == 1
    assert "databases in it" in refused(bm, "group", "remove", "production")
    bm.ctl("group", "update", "production", "--name", "prod")
    assert "prod" in bm.ctl("database", "show", "d").stdout
    assert "group list" in refused(bm, "database", "update", "d", "--group", "nowhere")
    bm.ctl("database", "update", "d", "--group", "")
    assert bm.ctl("database", "show", "d", json=True)["group_id"] is None
    bm.ctl("group", "remove", "prod")
    assert bm.ctl("group", "list", json=True) == []
    assert [a for a, *_ in log_of(bm, "group")] == ["create", "update", "remove"]


def test_the_log_shows_no_secret(bm):
    base = bm.directory("disk")
    bm.ctl("destination", "add", "disk", "--type", "local", "--base-path", base)
    bm.query("UPDATE destinations SET storage_config = %s, credentials_ref = %s", '{"bucket":"b","secret_access_key":"hidden-1"}', "hidden-2")
    bm.query("UPDATE destinations SET storage_config = %s, credentials_ref = %s", '{"bucket":"c","secret_access_key":"hidden-3"}', "env:WHERE")
    bm.command_database("d", "sh", "-c", "echo hidden-4")
    bm.query("UPDATE databases SET password_encrypted = 'hidden-5', connection_options = 'hidden-6', password_ref = 'hidden-7'")
    text = json.dumps(bm.query("SELECT changes FROM audit_log ORDER BY id"))
    assert "hidden" not in text and "env:WHERE" in text
    assert log_of(bm, "destination")[-1][3]["storage_config"] == {
        "old": "***", "new": "***", "members": ["bucket", "secret_access_key"]}  # fmt: skip


def test_what_schedulers_write_is_not_logged(bm):
    path = bm.random_file("f", 10)
    bm.ctl("database", "add", "d", "--type", "file", "--path", path)
    bm.ctl("schedule", "add", "s", "--database", "d", "--cron", "* * * * *")
    bm.query("UPDATE schedules SET next_run_at = now() - interval '5 seconds'")
    bm.scheduler_once()
    assert bm.value("SELECT count(*) FROM backups") == 1
    assert [a for a, *_ in log_of(bm, "schedule")] == ["create"]
    bm.ctl("schedule", "disable", "s")
    assert log_of(bm, "schedule")[-1][3]["is_active"] == {"old": True, "new": False}


@pytest.mark.parametrize("word", ["user", "token", "group"])
def test_help(bm, word):
    assert f"backupctl {word}" in bm.ctl(word, "--help").stdout
    assert f"{word} " in bm.ctl("--help").stdout
