"""backupctl: the catalog, what it refuses, and what it prints. Whole backups are in the other files."""

import json
import os
import re

import pytest

from harness.system import System


def refused(bm, *args, status=2, **kwargs):
    """The command fails with one clear line, which is given back."""
    env = {"BM_LOG_LEVEL": "warn", **kwargs.pop("env", {})}
    done = bm.ctl(*args, check=False, env=env, **kwargs)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("backupctl: "), done.stderr
    assert done.stdout == ""
    return lines[0]


def snapshot(bm):
    return [
        bm.query(f"SELECT * FROM {table} ORDER BY 1")
        for table in ("databases", "destinations", "schedules", "destination_assignments", "backups")
    ]


# -- words


def test_help_everywhere(bm):
    text = bm.ctl("--help").stdout
    assert "BM_DATABASE_URL" in text
    commands = re.findall(r"^  ([a-z]+(?: [a-z-]+)?) (?:[A-Z ]*) {2}", text, re.M)
    assert {"database add", "backup run", "user add", "token create", "secret rotate", "status", "doctor"} <= set(commands)
    for words in commands:
        assert "Usage: backupctl " + words in bm.ctl(*words.split(), "--help").stdout
    for group in {words.split()[0] for words in commands if " " in words}:
        assert f"backupctl {group} " in bm.ctl(group, "--help").stdout
    assert re.fullmatch(r"backupctl \d+\.\d+\.\d+\n", bm.ctl("--version").stdout)


@pytest.mark.parametrize(
    "words, said",
    [
        (["frobnicate"], "unknown command 'frobnicate'"),
        (["--frobnicate"], "unknown option '--frobnicate'"),
        (["database", "frobnicate"], "unknown command 'database frobnicate'"),
        (["database", "show"], "missing: NAME; see backupctl database show --help"),
        (["database", "list", "x"], "one word too many: x"),
        (["database", "list", "--frobnicate"], "--frobnicate; see backupctl database list --help"),
        (["schedule", "add", "s", "--cron"], "no value for --cron"),
        (["backup", "list", "--limit", "none"], "--limit: 'none' is not a whole number"),
    ],
)
def test_usage_errors(bm, words, said):
    assert said in refused(bm, *words)


def test_no_words_is_usage(bm):
    for words in ([], ["database"]):
        done = bm.ctl(*words, check=False)
        assert done.returncode == 2 and "backupctl" in done.stderr


# -- databases


def test_database_life(bm):
    path = os.path.join(bm.directory("data"), "file")
    with open(path, "w") as f:
        f.write("x")
    bm.ctl("database", "add", "files", "--type", "file", "--path", "file", "--description", "d", cwd=os.path.dirname(path))
    row = bm.ctl("database", "show", "files", json=True)
    assert (row["db_type"], row["source_path"], row["is_active"]) == ("file", os.path.realpath(path), True)
    assert row["destinations"] == []
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["created_at"])

    assert bm.ctl("database", "show", row["id"], json=True) == row
    bm.ctl("database", "update", "files", "--name", "renamed", "--description", "")
    row = bm.ctl("database", "show", "renamed", json=True)
    assert row["description"] is None and row["source_path"] == os.path.realpath(path)

    bm.ctl("database", "disable", "renamed")
    assert bm.ctl("database", "list", json=True)[0]["is_active"] is False
    bm.ctl("database", "enable", "renamed")
    assert bm.ctl("database", "list", json=True)[0]["is_active"] is True
    bm.ctl("database", "remove", "renamed")
    assert bm.ctl("database", "list", json=True) == []


def test_database_of_each_type(bm):
    added = bm.ctl("database", "add", "pg", "--type", "postgresql", "--host", "db.example", "--port", "5433", "--username", "u",
                   "--database-name", "d", "--password-ref", "env:PW", json=True)  # fmt: skip
    assert (added["host"], added["port"], added["password_ref"]) == ("db.example", 5433, "env:PW")
    bm.ctl("database", "add", "dir", "--type", "directory", "--path", bm.directory("tree"))
    bm.ctl("database", "add", "cmd", "--type", "command", "--", "printf", "%s", "--json", "-x")
    assert json.loads(bm.ctl("database", "show", "cmd", json=True)["source_argv"]) == ["printf", "%s", "--json", "-x"]
    table = bm.ctl("database", "list").stdout
    assert "db.example" in table and "NAME" in table


def test_wide_names_stay_aligned(bm):
    bm.command_database("データ", "true")
    bm.command_database("caffè", "true")
    lines = bm.ctl("database", "list").stdout.splitlines()
    columns = lines[0].index("TYPE")
    for line, wide in ((next(x for x in lines if "データ" in x), 3), (next(x for x in lines if "caffè" in x), 0)):
        assert line.index("command") + wide == columns


def test_names_do_not_steer_the_terminal(bm):
    bm.query("INSERT INTO databases (name, db_type, created_by) SELECT E'a\\x1b[31mb', 'file', id FROM users LIMIT 1")
    assert "\x1b" not in bm.ctl("database", "list").stdout


def test_bad_databases(bm):
    before = snapshot(bm)
    add = ("database", "add", "x", "--type")
    assert "oracle" in refused(bm, *add, "oracle")
    assert "mysql" in refused(bm, *add, "mysql", "--host", "h")
    assert "No such file" in refused(bm, *add, "file", "--path", "/nowhere/at/all")
    assert "not a directory" in refused(bm, *add, "directory", "--path", "/etc/passwd")
    assert "env:" in refused(bm, *add, "postgresql", "--database-name", "d", "--password-ref", "not a reference")
    for words in (["--password", "hunter2"], ["--password=hunter2"]):
        said = refused(bm, *add, "postgresql", *words)
        assert "unknown or wrong option --password;" in said and "hunter2" not in said
    assert "65535" in refused(bm, *add, "postgresql", "--database-name", "d", "--port", "70000")
    refused(bm, *add, "command")
    assert "--type" in refused(bm, "database", "add", "x")
    for name in ("", "12", "..", "a\nb", "n" * 300):
        refused(bm, "database", "add", name, "--type", "command", "--", "true")
    assert "no database is called 'nobody'" in refused(bm, "database", "show", "nobody", status=1)
    assert snapshot(bm) == before


def test_ambiguous_name_asks_for_the_id(bm):
    bm.query("INSERT INTO databases (name, db_type, source_argv, created_by)"
             " SELECT 'twin', 'command', '[\"true\"]', id FROM users, generate_series(1, 2) LIMIT 2")  # fmt: skip
    ids = [str(row["id"]) for row in bm.query("SELECT id FROM databases ORDER BY id")]
    said = refused(bm, "backup", "run", "twin")
    assert "give the id instead: " + ", ".join(ids) in said
    assert bm.ctl("database", "show", ids[1], json=True)["id"] == int(ids[1])
    assert "exists already" in refused(bm, "database", "add", "twin", "--type", "command", "--", "true", status=1)


def test_database_with_backups_is_kept(bm):
    bm.command_database("kept", "true")
    bm.query("INSERT INTO backups (name, database_id, created_by) SELECT 'b', d.id, u.id FROM databases d, users u")
    assert "has backups on record" in refused(bm, "database", "remove", "kept", status=1)


# -- destinations


def test_destination_life(bm):
    base = bm.directory("disk")
    os.symlink(base, os.path.join(bm.tmp, "link"))
    bm.ctl("destination", "add", "disk", "--type", "local_external", "--base-path", os.path.join(bm.tmp, "link"),
           "--priority", "3", "--queue", "nas-1", "--max-concurrent", "2", "--bandwidth-limit", "5000000000",
           "--config", '{"read_back": true}')  # fmt: skip
    row = bm.ctl("destination", "show", "disk", json=True)
    assert row["base_path"] == os.path.realpath(base)
    assert (row["priority"], row["queue"], row["max_concurrent"], row["bandwidth_limit"]) == (3, "nas-1", 2, 5000000000)
    assert row["disk_identity"] and row["enabled"] is True
    assert json.loads(row["storage_config"]) == {"read_back": True}
    assert row["path_template"] == "{database}/{yyyy}/{mm}/{dd}/{name}.{ext}"

    bm.ctl("destination", "update", "disk", "--max-concurrent", "", "--priority", "0")
    row = bm.ctl("destination", "show", "disk", json=True)
    assert row["max_concurrent"] is None and row["priority"] == 0
    assert "nas-1" in bm.ctl("destination", "list").stdout
    bm.ctl("destination", "disable", "disk")
    assert bm.ctl("destination", "show", "disk", json=True)["enabled"] is False
    bm.ctl("destination", "remove", "disk")
    assert bm.ctl("destination", "list", json=True) == []


def test_assignments(bm):
    bm.command_database("one", "true")
    bm.destination("a")
    bm.destination("b", "--priority", "5")
    bm.ctl("schedule", "add", "nightly", "--database", "one", "--cron", "0 3 * * *")
    bm.assign("one", "a", "a")
    bm.ctl("destination", "assign", "b", "--database", "one", "--schedule", "nightly", "--priority", "7")
    found = bm.ctl("database", "show", "one", json=True)["destinations"]
    assert [(d["name"], d["priority"], d["schedule"]) for d in found] == [("a", 0, None), ("b", 7, "nightly")]
    bm.ctl("destination", "assign", "a", "--database", "one", "--priority", "9")
    assert bm.ctl("destination", "show", "a", json=True)["databases"][0]["priority"] == 9
    assert "no schedule called 'other'" in refused(
        bm, "destination", "assign", "a", "--database", "one", "--schedule", "other", status=1
    )
    assert "not assigned like that" in refused(bm, "destination", "unassign", "b", "--database", "one", status=1)
    bm.ctl("destination", "unassign", "b", "--database", "one", "--schedule", "nightly")
    assert len(bm.ctl("database", "show", "one", json=True)["destinations"]) == 1
    assert "needs --database" in refused(bm, "destination", "assign", "a")


def test_bad_destinations(bm):
    before = snapshot(bm)
    base = bm.directory("base")
    add = ("destination", "add", "x", "--base-path", base, "--type")
    said = refused(bm, *add, "floppy")
    for known in ("local", "local_external", "s3", "minio", "spaces", "backblaze", "azure_blob", "gcs"):
        assert known in said
    refused(bm, *add, "s3")
    assert "No such file" in refused(bm, "destination", "add", "x", "--type", "local", "--base-path", "/no/such")
    assert "not a directory" in refused(bm, "destination", "add", "x", "--type", "local", "--base-path", "/etc/passwd")
    assert "base path" in refused(bm, "destination", "add", "x", "--type", "local")
    assert "JSON" in refused(bm, *add, "local", "--config", "{nonsense")
    said = refused(bm, *add, "local", "--config", '{"secret_key": "hunter2"}')
    assert "credentials_ref" in said and "hunter2" not in said
    assert "queue" in refused(bm, *add, "local", "--queue", "a b")
    refused(bm, *add, "local", "--priority", "-1")
    refused(bm, *add, "local", "--max-concurrent", "0")
    for template in ("/{name}", "../{name}", "a/../{name}", "{name}/{nope}", "fixed", "a//{name}", "{name"):
        assert "path template" in refused(bm, *add, "local", "--path-template", template)
    assert "credentials" in refused(bm, *add, "local", "--credentials-ref", "no such form").lower()
    assert os.listdir(base) == []
    assert snapshot(bm) == before


def test_a_failing_update_changes_nothing(bm):
    bm.destination("d")
    before = snapshot(bm)
    refused(bm, "destination", "update", "d", "--priority", "4", "--base-path", "/no/such")
    refused(bm, "destination", "update", "d")
    bm.destination("e")
    middle = snapshot(bm)
    assert "has that name already" in refused(bm, "destination", "update", "d", "--name", "e", status=1)
    assert snapshot(bm) == middle and before != middle


def test_secrets_of_older_rows_are_not_shown(bm):
    bm.query("INSERT INTO destinations (name, storage_type, storage_config)"
             " VALUES ('old', 's3', '{\"bucket\": \"b\", \"secret_access_key\": \"hunter2\"}')")  # fmt: skip
    for done in (bm.ctl("destination", "show", "old"), bm.ctl("destination", "list", "--json")):
        assert "hunter2" not in done.stdout
    config = json.loads(bm.ctl("destination", "show", "old", json=True)["storage_config"])
    assert config == {"bucket": "b", "secret_access_key": "***"}
    bm.ctl("destination", "disable", "old")  # what can't be used can be switched off
    assert "hunter2" in bm.value("SELECT storage_config FROM destinations WHERE NOT enabled")


def test_destination_test(bm):
    base = bm.destination("d", type="local_external")
    steps = bm.ctl("destination", "test", "d", json=True)
    assert len(steps) >= 6 and all(step["ok"] for step in steps)
    assert [f for f in os.listdir(base) if "probe" in f or f.endswith(".tmp")] == []

    os.rename(base, base + ".away")  # unplugged
    done = bm.ctl("destination", "test", "d", check=False)
    assert done.returncode == 1 and "FAIL" in done.stdout and "mount" in done.stdout
    os.mkdir(base)  # the empty directory under the mount point, or another disk
    assert bm.ctl("destination", "test", "d", check=False).returncode == 1
    bm.ctl("destination", "update", "d", "--accept-disk")
    assert all(step["ok"] for step in bm.ctl("destination", "test", "d", json=True))


# -- schedules


def test_schedule_life(bm):
    bm.command_database("one", "true")
    bm.ctl("schedule", "add", "nightly", "--database", "one", "--cron", "30 2 * * *", "--timezone", "Europe/Rome",
           "--ordering", "sequential", "--misfire", "all")  # fmt: skip
    row = bm.ctl("schedule", "show", "nightly", json=True)
    assert (row["cron_expression"], row["timezone"]) == ("30 2 * * *", "Europe/Rome")
    assert (row["ordering"], row["misfire_policy"], row["database"]) == ("sequential", "all", "one")
    assert row["next_run_at"][11:] in ("00:30:00Z", "01:30:00Z")
    assert bm.value("SELECT next_run_at > now() AND next_run_at < now() + interval '25 hours' FROM schedules")

    bm.ctl("schedule", "disable", "nightly")
    assert bm.ctl("schedule", "show", "nightly", json=True)["next_run_at"] is None
    bm.ctl("schedule", "enable", "nightly")
    bm.query("UPDATE schedules SET next_run_at = '2020-01-01 00:00:00Z'")
    bm.ctl("schedule", "update", "nightly", "--description", "x")  # the scheduler's business stays
    assert bm.ctl("schedule", "show", "nightly", json=True)["next_run_at"] == "2020-01-01T00:00:00Z"
    bm.ctl("schedule", "update", "nightly", "--interval", "hourly")
    row = bm.ctl("schedule", "show", "nightly", json=True)
    assert (row["schedule_type"], row["cron_expression"], row["interval_value"]) == ("interval", None, "hourly")
    assert row["next_run_at"][14:] == "00:00Z"
    assert "hourly" in bm.ctl("schedule", "list").stdout
    bm.ctl("schedule", "remove", "nightly")
    assert bm.ctl("schedule", "list", json=True) == []


def test_bad_schedules(bm):
    bm.command_database("one", "true")
    before = snapshot(bm)
    add = ("schedule", "add", "s", "--database", "one")
    assert "99" in refused(bm, *add, "--cron", "99 * * * *")
    refused(bm, *add, "--cron", "nonsense")
    assert "Mars/Base" in refused(bm, *add, "--cron", "@daily", "--timezone", "Mars/Base")
    assert "misfire" in refused(bm, *add, "--cron", "@daily", "--misfire", "never")
    assert "ordering" in refused(bm, *add, "--cron", "@daily", "--ordering", "random")
    assert "interval" in refused(bm, *add, "--interval", "yearly")
    assert "either" in refused(bm, *add, "--interval", "hourly", "--cron", "@daily")
    assert "--cron" in refused(bm, *add)
    assert "no database is called" in refused(bm, "schedule", "add", "s", "--database", "no", "--cron", "@daily", status=1)
    assert snapshot(bm) == before


def test_same_schedule_name_for_two_databases(bm):
    for name in ("one", "two"):
        bm.command_database(name, "true")
        bm.ctl("schedule", "add", "nightly", "--database", name, "--cron", "@daily")
    assert "exists already" in refused(bm, "schedule", "add", "nightly", "--database", "one", "--cron", "@daily", status=1)
    assert "give the id" in refused(bm, "schedule", "show", "nightly")


# -- servers that aren't there


def test_unreachable_postgresql(bm):
    url = "postgresql://someone:hunter2@127.0.0.1:1/nowhere"
    said = refused(bm, "database", "list", status=1, env={"BM_DATABASE_URL": url})
    assert "127.0.0.1" in said and "1" in said and "hunter2" not in said
    said = refused(bm, "migrate", "status", status=1, env={"BM_DATABASE_URL": url})
    assert "hunter2" not in said
    assert "BM_DATABASE_URL" in refused(bm, "database", "list", env={"BM_DATABASE_URL": ""})
    said = refused(bm, "database", "list", env={"BM_DATABASE_URL": "postgresql://u:hunter2@[broken"})
    assert "hunter2" not in said


def test_setting_before_the_command(bm):
    done = bm.ctl("--database-url", bm.env["BM_DATABASE_URL"], "database", "list", env={"BM_DATABASE_URL": ""})
    assert "no databases yet" in done.stdout
    assert "BM_RECONCILE_SECONDS" in refused(bm, "--reconcile-seconds", "soon", "database", "list")


def test_migrate(programs, postgres, empty_database, env, tmp):
    bm = System(programs, postgres, None, empty_database, tmp, {**env, "BM_DATABASE_URL": postgres.dsn(empty_database)})
    rows = bm.ctl("migrate", "status", json=True)
    assert {row["state"] for row in rows} == {"pending"}
    done = bm.ctl("database", "list", check=False)
    assert done.returncode == 1 and "backupctl migrate up" in done.stderr, done.stderr
    bm.ctl("migrate", "up", "--to", "0")
    assert [row["state"] for row in bm.ctl("migrate", "status", json=True)][:2] == ["applied", "pending"]
    bm.ctl("migrate", "up")
    assert "up to date" in bm.ctl("migrate", "up").stdout
    bm.ctl("migrate", "down", "--to", "1")
    bm.ctl("migrate", "up")
    assert {row["state"] for row in bm.ctl("migrate", "status", json=True)} == {"applied"}
    assert "VERSION" in bm.ctl("migrate", "status").stdout
    refused(bm, "migrate", "up", "--to", "77")
    bm.close()


# -- backups; no worker runs here, so every state is made by hand


def two_copies(bm):
    """A database with two destinations, and one backup of it as it stands before any worker has seen it."""
    bm.command_database("one", "echo", "hello")
    bm.destination("a")
    bm.destination("b", "--priority", "1")
    bm.assign("one", "a", "b")
    return bm.run("one")


def test_run_is_queued_when_it_returns(bm):
    backup = two_copies(bm)
    rows = bm.rows(backup)
    assert [row["status"] for row in rows] == ["pending", "pending"]
    assert all(row["enqueued_at"] is not None for row in rows)
    redis = bm.redis.client()
    assert json.loads(redis.lindex("bm:{default}:ready:0", 0))["id"] == rows[0]["id"]
    assert json.loads(redis.lindex("bm:{default}:ready:1", 0))["backup_id"] == backup

    row = bm.ctl("backup", "show", backup, json=True)
    assert (row["id"], row["status"], row["database"]) == (backup, "pending", "one")
    assert [d["storage_name"] for d in row["destinations"]] == ["a", "b"]
    assert re.fullmatch(r"one_\d{8}_\d{6}", row["name"])
    assert bm.ctl("backup", "show", row["name"], json=True) == row
    assert bm.ctl("backup", "list", "--database", "one", json=True) == [row]
    assert bm.ctl("backup", "list", "--status", "failed", json=True) == []
    assert "0 of 2" in bm.ctl("backup", "list").stdout
    text = bm.ctl("backup", "show", backup).stdout
    assert "DESTINATION" in text and row["name"] in text
    assert "no backup 'x'" in refused(bm, "backup", "show", "x", status=1)


def test_run_without_redis_is_recorded(bm):
    bm.command_database("one", "true")
    bm.destination("a")
    bm.assign("one", "a")
    done = bm.ctl("backup", "run", "one", env={"BM_REDIS_URL": "redis://u:hunter2@127.0.0.1:1/0", "BM_LOG_LEVEL": "error"})
    assert "not yet queued" in done.stderr and "127.0.0.1" in done.stderr and "hunter2" not in done.stderr
    assert bm.value("SELECT enqueued_at FROM backup_destinations") is None


def test_run_without_destination(bm):
    bm.command_database("one", "true")
    done = bm.ctl("backup", "run", "one", check=False)
    assert done.returncode == 1 and "destination assign" in done.stderr
    assert bm.value("SELECT status FROM backups") == "failed"
    assert "no copies to retry" in refused(bm, "backup", "retry", bm.value("SELECT id FROM backups"), status=1)
    before = snapshot(bm)
    assert "--ordering" in refused(bm, "backup", "run", "one", "--ordering", "random")
    assert snapshot(bm) == before


def test_cancel(bm):
    backup = two_copies(bm)
    bm.query("UPDATE backups SET status = 'in_progress', started_at = now(), artifact_state = 'ready', artifact_fence = 4")
    bm.query("UPDATE backup_destinations SET status = 'uploading', fence = 3, lease_owner = 'w',"
             " lease_until = now() + interval '1 hour' WHERE storage_name = 'a'")  # fmt: skip
    bm.query("UPDATE backup_destinations SET status = 'completed' WHERE storage_name = 'b'")
    bm.ctl("backup", "cancel", backup)
    a, b = bm.rows(backup)
    assert (a["status"], a["error_code"], a["fence"], a["lease_owner"]) == ("failed", "cancelled", 4, None)
    assert b["status"] == "completed"
    row = bm.backup(backup)
    # a ready artifact keeps its generation: it is the name of the staged file
    assert (row["status"], row["artifact_state"], row["artifact_fence"]) == ("partial", "ready", 4)
    assert row["completed_at"] is not None and row["duration_seconds"] is not None
    assert "nothing to cancel" in refused(bm, "backup", "cancel", backup, status=1)


def test_cancel_before_and_during_the_dump(bm):
    for state in ("none", "producing"):
        bm.query("DELETE FROM backups")
        backup = two_copies(bm) if state == "none" else bm.run("one")
        bm.query("UPDATE backups SET artifact_state = %s, artifact_fence = 4, artifact_owner = 'w'", state)
        bm.ctl("backup", "cancel", backup)
        row = bm.backup(backup)
        assert (row["status"], row["artifact_state"], row["artifact_fence"]) == ("failed", "failed", 5)
        assert [r["error_code"] for r in bm.rows(backup)] == ["cancelled", "cancelled"]


def test_retry(bm):
    backup = two_copies(bm)
    bm.query("UPDATE backups SET status = 'failed', completed_at = now(), artifact_state = 'failed', artifact_attempts = 3")
    bm.query("UPDATE backup_destinations SET status = 'failed', attempts = 8, takes = 2, error_code = 'io',"
             " error_message = 'e', fence = 7, waiting_since = now()")  # fmt: skip
    bm.redis.client().flushall()
    assert "no copy at a destination called 'c'" in refused(bm, "backup", "retry", backup, "--destination", "c", status=1)
    bm.ctl("backup", "retry", backup, "--destination", "b")
    a, b = bm.rows(backup)
    assert (a["status"], b["status"]) == ("failed", "pending")
    assert (b["attempts"], b["takes"], b["error_code"], b["error_message"], b["waiting_since"]) == (0, 0, None, None, None)
    assert b["fence"] == 7 and b["enqueued_at"] is not None
    row = bm.backup(backup)
    assert (row["status"], row["artifact_state"], row["artifact_attempts"]) == ("in_progress", "none", 0)
    assert row["completed_at"] is None
    assert bm.redis.client().llen("bm:{default}:ready:1") == 1
    assert "has not failed (it is pending)" in refused(bm, "backup", "retry", backup, "--destination", "b", status=1)
    bm.ctl("backup", "retry", backup)
    assert [r["status"] for r in bm.rows(backup)] == ["pending", "pending"]
    assert "no failed copy" in refused(bm, "backup", "retry", backup, status=1)


def test_history_is_not_retried(bm):
    backup = two_copies(bm)
    bm.query("UPDATE backups SET status = 'failed', origin = 'migrated'")
    bm.query("UPDATE backup_destinations SET status = 'failed', origin = 'migrated'")
    assert "older system" in refused(bm, "backup", "retry", backup)
    assert "older system" in refused(bm, "backup", "cancel", backup)


# -- the queue; jobs are moved by hand


def test_stats_and_list(bm):
    backup = two_copies(bm)
    stats = bm.ctl("queue", "stats", json=True)
    assert [s["queue"] for s in stats] == ["default"]
    assert (stats[0]["ready"], stats[0]["ready_by_priority"][:2], stats[0]["paused_at"]) == (2, [1, 1], None)
    jobs = bm.ctl("queue", "list", json=True)
    assert [(j["state"], j["op"], j["backup_id"], j["storage_name"]) for j in jobs] == [
        ("ready", "upload", backup, "a"),
        ("ready", "upload", backup, "b"),
    ]
    assert bm.ctl("queue", "list", "--state", "dead", json=True) == []
    assert "STATE" in bm.ctl("queue", "list").stdout and "default" in bm.ctl("queue", "stats").stdout
    assert "ready, active" in refused(bm, "queue", "list", "--state", "sleeping")
    assert "queue 'a b'" in refused(bm, "queue", "stats", "--queue", "a b")
    said = refused(bm, "queue", "stats", status=1, env={"BM_REDIS_URL": "redis://:hunter2@127.0.0.1:1"})
    assert "127.0.0.1" in said and "hunter2" not in said


def test_list_shows_every_place(bm):
    redis = bm.redis.client()
    q = "bm:{default}"
    job = lambda i: json.dumps({"id": i, "op": "upload", "backup_id": 1})  # noqa: E731
    redis.zadd(f"{q}:retry", {job(1): 1700000000000})
    redis.rpush(f"{q}:parked:order", job(2))
    redis.sadd(f"{q}:parked", "order")
    redis.hset(f"{q}:jobs", "upload:3", f"active:host:1:ab 7 {job(3)}")
    redis.zadd(f"{q}:lease", {"upload:3": 1700000000000})
    redis.rpush(f"{q}:dead", json.dumps({"id": 4, "op": "upload", "error": "boom", "dead_at_ms": 1700000000000}), "{junk")
    found = {j["state"] + str(j.get("id", "")): j for j in bm.ctl("queue", "list", json=True)}
    assert set(found) == {"retry1", "parked2", "active3", "dead4", "dead"}
    assert found["retry1"]["due_at"] == "2023-11-14T22:13:20.000Z"
    assert found["parked2"]["why"] == "order" and found["active3"]["worker"] == "host:1:ab"
    assert found["dead4"]["error"] == "boom" and found["dead"]["malformed"] == "{junk"


def test_pause_and_resume(bm):
    bm.ctl("queue", "pause")
    assert bm.ctl("queue", "stats", json=True)[0]["paused_at"] is not None
    two_copies(bm)
    stats = bm.ctl("queue", "stats", json=True)[0]
    assert (stats["ready"], stats["parked_by_reason"]) == (0, {"paused": 2})
    bm.ctl("queue", "resume")
    stats = bm.ctl("queue", "stats", json=True)[0]
    assert (stats["ready"], stats["parked"], stats["paused_at"]) == (2, 0, None)
    assert "was not paused" in bm.ctl("queue", "resume").stdout


def test_requeue_dead(bm):
    backup = two_copies(bm)
    redis = bm.redis.client()
    redis.flushall()
    bm.query("UPDATE backup_destinations SET status = 'failed', attempts = 8, error_message = 'e' WHERE storage_name = 'a'")
    bm.query("UPDATE backup_destinations SET status = 'completed' WHERE storage_name = 'b'")
    bm.query("UPDATE backups SET status = 'partial'")
    a, b = bm.rows(backup)
    for row in (a, b, {"id": 999999}):
        redis.lpush("bm:{default}:dead", json.dumps({"id": row["id"], "op": "upload", "error": "e"}))
    redis.lpush("bm:{default}:dead", "junk")
    said = bm.ctl("queue", "requeue-dead").stdout
    assert "1 copies will be tried again, 3 entries taken off" in said and "--drop-malformed" in said
    assert redis.lrange("bm:{default}:dead", 0, -1) == ["junk"]
    assert bm.rows(backup)[0]["status"] == "pending" and bm.backup(backup)["status"] == "in_progress"
    assert redis.llen("bm:{default}:ready:0") == 1
    bm.ctl("queue", "requeue-dead", "--drop-malformed")
    assert redis.llen("bm:{default}:dead") == 0


def fsck(bm):
    done = bm.ctl("queue", "fsck", "--json", check=False, env={"BM_LEASE_SECONDS": "2"})
    found = json.loads(done.stdout)
    assert done.returncode == (1 if found["breaches"] else 0), done
    return found


def test_fsck_clean(bm):
    two_copies(bm)
    assert fsck(bm) == {"jobs": 2, "breaches": [], "stale": []}
    assert "2 jobs in 1 queues: 0 breaches, 0 stale" in bm.ctl("queue", "fsck").stdout


def test_fsck_finds_a_job_in_two_places(bm):
    two_copies(bm)
    redis = bm.redis.client()
    redis.rpush("bm:{default}:ready:5", redis.lindex("bm:{default}:ready:0", 0))
    (breach,) = fsck(bm)["breaches"]
    assert breach["invariant"] == 2 and "ready:0 and ready:5" in breach["message"]
    assert "BREACH" in bm.ctl("queue", "fsck", check=False).stdout


def test_fsck_finds_a_job_in_no_place(bm):
    two_copies(bm)
    bm.redis.client().delete("bm:{default}:ready:0")
    (breach,) = fsck(bm)["breaches"]
    assert breach["invariant"] == 2 and "stands in no list" in breach["message"]


def test_fsck_finds_a_broken_lease(bm):
    two_copies(bm)
    redis = bm.redis.client()
    payload = redis.lpop("bm:{default}:ready:0")
    key = "upload:" + str(json.loads(payload)["id"])
    redis.rpush("bm:{default}:active:h:1:ab", payload)
    redis.hset("bm:{default}:jobs", key, f"active:h:1:ab 5 {payload}")
    (breach,) = fsck(bm)["breaches"]  # after the time in which a heartbeat would have renewed it
    assert breach["invariant"] == 3 and "without a lease" in breach["message"]
    redis.zadd("bm:{default}:lease", {key: 1})
    assert fsck(bm)["breaches"] == []
    redis.hset("bm:{default}:jobs", key, f"active:other:1:cd 5 {payload}")
    (breach,) = fsck(bm)["breaches"]
    assert "registered as active:other:1:cd" in breach["message"]


def test_fsck_tells_stale_from_broken(bm):
    backup = two_copies(bm)
    a, b = bm.rows(backup)
    bm.query("UPDATE backup_destinations SET status = 'completed', checksum = 'c', file_size = 1 WHERE id = %s", a["id"])
    redis = bm.redis.client()
    redis.delete("bm:{default}:ready:1")
    redis.hdel("bm:{default}:jobs", f"upload:{b['id']}")
    redis.rpush("bm:{default}:ready:3", "junk", json.dumps({"id": 777, "op": "upload"}))
    found = fsck(bm)
    assert found["breaches"] == []
    messages = {(s["key"], s["invariant"]) for s in found["stale"]}
    assert messages == {(f"upload:{a['id']}", 6), (f"upload:{b['id']}", 1), ("-", 2), ("upload:777", 2), ("upload:777", 6)}


def test_fsck_compares_rows(bm):
    backup = two_copies(bm)
    bm.query("UPDATE destinations SET max_concurrent = 1")
    bm.query("UPDATE backup_destinations SET status = 'uploading', fence = 1, lease_owner = 'w', destination_id ="
             " (SELECT min(id) FROM destinations), upload_started_at = clock_timestamp() AT TIME ZONE 'UTC',"
             " file_path = file_path || id, lease_until = now() + interval '1 hour'")  # fmt: skip
    bm.redis.client().flushall()
    assert [x["invariant"] for x in fsck(bm)["breaches"]] == [8]
    bm.query("UPDATE backup_destinations SET status = 'failed', fence = 1")
    found = {(x["key"].split(":")[0], x["invariant"]) for x in fsck(bm)["breaches"]}
    assert found == {("upload", 6), ("backup", 6)}
    assert bm.backup(backup)["status"] == "pending"


# -- status, doctor


def test_status(bm):
    backup = two_copies(bm)
    status = bm.ctl("status", json=True)
    assert status["backups"]["total"] == 1 and status["backups"]["pending"] == 1
    assert status["databases"][0]["last_backup_id"] == backup and status["queues"][0]["ready"] == 2
    assert status["running"] == []
    text = bm.ctl("status").stdout
    assert "nothing is being uploaded" in text and "READY" in text


def doctor(bm, **env):
    done = bm.ctl("doctor", "--json", check=False, env=env)
    found = json.loads(done.stdout)
    assert done.returncode == (1 if any(f["level"] == "FAIL" for f in found) else 0), done
    assert all(f["advice"] for f in found if f["level"] != "OK")
    return {f["check"]: (f["level"], f["message"]) for f in found}


def test_doctor(bm, source_database):
    bm.directory("staging")
    base = bm.destination("disk", type="local_external")
    bm.postgres_database("pg", source_database)
    bm.assign("pg", "disk")
    found = doctor(bm)
    assert not [f for f in found.items() if f[1][0] == "FAIL"], found
    for check in ("PostgreSQL", "schema", "PostgreSQL clock", "Redis", "Redis clock", "Redis maxmemory-policy", "pg_dump", "database pg"):
        assert found[check][0] == "OK", found[check]
    assert "rebuilt from PostgreSQL" in found["Redis persistence"][1]
    assert found["workers of queue default"][0] == "WARN"
    assert "staging" in found["staging directory"][1]
    assert "OK    PostgreSQL: reachable" in bm.ctl("doctor").stdout

    bm.redis.client().config_set("maxmemory-policy", "allkeys-lru")
    os.rename(base, base + ".away")
    bm.query("UPDATE databases SET port = 1")
    found = doctor(bm, BM_PG_DUMP="/no/such/pg_dump", BM_STAGING_DIR="/etc/passwd")
    for check in ("Redis maxmemory-policy", "destination disk", "pg_dump", "staging directory"):
        assert found[check][0] == "FAIL", (check, found[check])
    assert found["database pg"][0] == "WARN"
    found = doctor(bm, BM_QUEUES="other")
    assert "on their machine" in found["destination disk"][1]


def test_doctor_without_servers(bm):
    found = doctor(bm, BM_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x", BM_REDIS_URL="redis://:hunter2@127.0.0.1:1")
    assert found["PostgreSQL"][0] == "FAIL" and found["Redis"][0] == "FAIL"
    assert "hunter2" not in str(found) and "127.0.0.1" in found["Redis"][1]


def test_doctor_asks_for_the_migration(programs, postgres, redis, empty_database, env, tmp):
    bm = System(programs, postgres, redis, empty_database, tmp, {**env, "BM_DATABASE_URL": postgres.dsn(empty_database)})
    assert doctor(bm)["schema"][0] == "FAIL"
    assert "-> backupctl migrate up" in bm.ctl("doctor", check=False).stdout
    bm.close()


# -- with a worker: a whole backup, and what reads its copies


def whole_backup(bm):
    source = os.path.join(bm.tmp, "source")
    with open(source, "wb") as f:
        f.write(os.urandom(300_000) + b"x" * 300_000)
    bm.file_database("files", source)
    a = bm.destination("a")
    b = bm.destination("b", "--priority", "1", type="local_external")
    bm.assign("files", "a", "b")
    bm.worker()
    backup = bm.ctl("backup", "run", "files", "--wait", json=True)
    assert backup["status"] == "completed"
    with open(source, "rb") as f:
        return backup, f.read(), a, b


def path_of(copy):
    return os.path.join(copy["base_path"], copy["file_path"])


def raw(bm, *args):
    """Standard output as bytes."""
    import subprocess

    return subprocess.run([*bm.prefix, bm.programs.backupctl, *map(str, args)], env=bm.env, capture_output=True, timeout=60)


def test_restore(bm):
    backup, content, _, _ = whole_backup(bm)
    first, second = backup["destinations"]
    with open(path_of(first), "rb") as f:
        stored = f.read()
    out = os.path.join(bm.tmp, "out")
    bm.ctl("backup", "restore", backup["id"], "--output", out)
    with open(out, "rb") as f:
        assert f.read() == stored
    assert "exists already" in refused(bm, "backup", "restore", backup["id"], "--output", out, status=1)
    done = raw(bm, "backup", "restore", backup["name"], "--output", "-", "--decode", "--from", "b")
    assert done.returncode == 0 and done.stdout == content
    assert "no copy at nowhere" in refused(bm, "backup", "restore", backup["id"], "--from", "nowhere", status=1)

    with open(path_of(first), "r+b") as f:  # damaged: never handed out
        f.seek(1000)
        f.write(b"damage")
    done = raw(bm, "backup", "restore", backup["id"], "--output", "-", "--decode")
    assert done.returncode == 0 and done.stdout == content and b"trying 'b'" in done.stderr
    bad = os.path.join(bm.tmp, "bad")
    done = bm.ctl("backup", "restore", backup["id"], "--output", bad, "--from", "a", check=False)
    assert done.returncode == 1 and "damaged" in done.stderr
    assert not [f for f in os.listdir(bm.tmp) if f.startswith("bad")]
    done = raw(bm, "backup", "restore", backup["id"], "--output", "-", "--from", "a")
    assert done.returncode == 1 and done.stdout == b""


def test_verify(bm):
    backup, _, _, b = whole_backup(bm)
    assert [v["verification_result"] for v in bm.ctl("backup", "verify", backup["id"], json=True)] == ["ok: size"] * 2
    with open(path_of(backup["destinations"][0]), "r+b") as f:
        f.write(b"damage")
    bm.ctl("backup", "verify", backup["id"])  # only --deep reads
    os.unlink(path_of(backup["destinations"][1]))
    done = bm.ctl("backup", "verify", backup["id"], "--deep", check=False)
    assert done.returncode == 1
    results = [row["verification_result"] for row in bm.rows(backup["id"])]
    assert results[0].startswith("corrupt: ") and results[1].startswith("not_found: ")
    assert all(row["verified_at"] for row in bm.rows(backup["id"]))
    assert all(row["status"] == "completed" for row in bm.rows(backup["id"]))


def test_delete(bm):
    backup, _, a, b = whole_backup(bm)
    pending = bm.run("files")
    bm.wait_ended(pending)
    os.rename(b, b + ".away")
    done = bm.ctl("backup", "delete", backup["id"], check=False)
    assert done.returncode == 1 and "stay on record" in done.stderr
    assert [row["storage_name"] for row in bm.rows(backup["id"])] == ["b"]
    assert not os.path.exists(path_of(backup["destinations"][0]))
    os.rename(b + ".away", b)
    bm.ctl("backup", "delete", backup["id"])
    assert not os.path.exists(path_of(backup["destinations"][1]))
    assert bm.value("SELECT count(*) FROM backups WHERE id = %s", backup["id"]) == 0
    for row in bm.rows(pending):
        bm.assert_whole(row)
    bm.query("UPDATE backup_destinations SET status = 'pending', next_attempt_at = 'infinity'")
    assert "cancel" in refused(bm, "backup", "delete", pending, status=1)


def test_wait_tells_of_failure(bm):
    bm.command_database("one", "sh", "-c", "echo broken >&2; exit 3")
    bm.destination("a")
    bm.assign("one", "a")
    bm.worker()
    done = bm.ctl("backup", "run", "one", "--wait", check=False)
    assert done.returncode == 1 and "broken" in done.stdout and "backup retry" in done.stderr
