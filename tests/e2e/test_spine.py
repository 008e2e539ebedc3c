"""A real database reaches two disks through scheduler, Redis, worker and PostgreSQL, and comes back from either."""

import json
import os
import re
import subprocess

import pytest

from harness.system import REPOSITORY
from harness.waiting import wait_for

TABLES = ["customers", "products", "orders", "order_items", "events"]


@pytest.fixture
def shop(postgres, source_database):
    subprocess.run(
        ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-v", "scale=2", "-f", f"{REPOSITORY}/deploy/sample.sql",
         postgres.dsn(source_database)],
        check=True,
    )  # fmt: skip
    return source_database


def contents(postgres, database):
    """Table -> (number of rows, digest of all rows in a fixed order)."""
    return {
        table: postgres.execute(
            database, f"SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\")) FROM {table} t"
        )[0]
        for table in TABLES
    }


def configure(bm, shop):
    bm.postgres_database("shop", shop)
    main = bm.destination("main", "--priority", "0")
    external = bm.destination("external", "--priority", "1", type="local_external")
    bm.assign("shop", "main", "external")
    return main, external


def fall_due(bm, schedule):
    bm.query("UPDATE schedules SET next_run_at = date_trunc('second', clock_timestamp()) WHERE name = %s", schedule)


def test_two_disks_and_back(bm, postgres, shop):
    main, external = configure(bm, shop)
    bm.ctl("schedule", "add", "hourly", "--database", "shop", "--cron", "0 * * * *", "--timezone", "Europe/Rome")
    fall_due(bm, "hourly")
    bm.scheduler_once()

    # dispatched, in priority order, as one readable line of JSON without secrets
    redis = bm.redis.client()
    jobs = [json.loads(job) for band in (0, 1) for job in redis.lrange(f"bm:{{default}}:ready:{band}", 0, -1)]
    backup = bm.query("SELECT * FROM backups")[0]
    rows = bm.rows(backup["id"])
    assert [job["id"] for job in jobs] == [row["id"] for row in rows]
    for job, kind, priority in zip(jobs, ("local", "local_external"), (0, 1)):
        assert job["op"] == "upload" and job["backup_id"] == backup["id"] and job["backup"] == backup["name"]
        assert (job["storage_type"], job["priority"]) == (kind, priority)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", job["enqueued_at"])
    assert postgres.password not in json.dumps(jobs)
    assert all(row["enqueued_at"] and row["status"] == "pending" for row in rows)

    worker = bm.worker()
    backup = bm.wait_ended(backup["id"])
    assert backup["status"] == "completed", bm.describe(backup["id"])
    assert re.fullmatch(r"shop_\d{8}_\d{6}", backup["name"])
    assert backup["started_at"] and backup["completed_at"] and backup["duration_seconds"] is not None
    day = backup["name"].split("_")[1]
    path = f"shop/{day[:4]}/{day[4:6]}/{day[6:]}/{backup['name']}.sql.gz"
    for row, base in zip(bm.rows(backup["id"]), (main, external)):
        assert (row["base_path"], row["file_path"], row["attempts"]) == (base, path, 1)
        assert row["upload_started_at"] <= row["upload_completed_at"]
        assert row["upload_duration_seconds"] is not None and row["error_message"] is None
        file = bm.assert_whole(row, backup["artifact_sha256"])
        restored = postgres.create_database(f"restored_{row['priority']}_{os.getpid()}")
        restore = f"gunzip -c '{file}' | psql -Xq -v ON_ERROR_STOP=1 '{postgres.dsn(restored)}'"
        done = subprocess.run(["bash", "-o", "pipefail", "-c", restore], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert contents(postgres, restored) == contents(postgres, shop)
        postgres.drop_database(restored)
    bm.assert_tidy(main, external)
    bm.fsck()
    assert postgres.password not in worker.log()
    staging = bm.env["BM_STAGING_DIR"]  # all copies are safe: it becomes empty again
    wait_for(lambda: os.listdir(staging) == [], what=lambda: str(os.listdir(staging)))


def test_shown(bm, shop):
    configure(bm, shop)
    bm.worker()
    backup = bm.run("shop")
    bm.wait_ended(backup)
    shown = bm.ctl("backup", "show", backup, json=True)
    rows = bm.rows(backup)
    assert shown["status"] == "completed"
    assert [d["storage_name"] for d in shown["destinations"]] == ["main", "external"]
    for destination, row in zip(shown["destinations"], rows):
        for field in ("id", "storage_type", "file_path", "base_path", "file_size", "checksum", "status", "priority"):
            assert destination[field] == row[field], field
    table = bm.ctl("backup", "show", backup).stdout
    for row in rows:
        assert row["storage_name"] in table and row["file_path"] in table
    listed = bm.ctl("backup", "list", "--database", "shop", json=True)
    assert backup in json.loads(json.dumps([b["id"] for b in (listed if isinstance(listed, list) else listed["backups"])]))


def test_password_never_in_arguments(bm, postgres, shop, tmp):
    configure(bm, shop)
    seen = os.path.join(tmp, "argv")
    wrapper = os.path.join(tmp, "pg_dump")
    with open(wrapper, "w") as f:
        f.write(f'#!/bin/sh\ntr "\\0" " " <"/proc/$$/cmdline" >>{seen}\nexec pg_dump "$@"\n')
    os.chmod(wrapper, 0o755)
    bm.worker(BM_PG_DUMP=wrapper)
    assert bm.wait_ended(bm.run("shop"))["status"] == "completed"
    with open(seen) as f:
        argv = f.read()
    assert shop in argv and postgres.password not in argv


def test_two_schedulers_never_double(bm):
    bm.destination("disk")
    bm.command_database("word", "echo", "word")
    bm.assign("word", "disk")
    for n in range(12):
        bm.ctl("schedule", "add", f"s{n}", "--database", "word", "--cron", "30 4 * * *")
    bm.query("UPDATE schedules SET next_run_at = date_trunc('second', clock_timestamp())")
    both = [bm.scheduler("--once") for _ in range(2)]
    for process in both:
        process.wait()
    assert bm.value("SELECT count(*) FROM backups") == 12
    assert bm.value("SELECT count(DISTINCT schedule_id) FROM backups") == 12
    assert bm.value("SELECT count(*) FROM backup_destinations") == 12
    bm.worker()
    bm.wait_ended(*[row["id"] for row in bm.query("SELECT id FROM backups")])
    # one second saw them all: no two share a name or a path
    assert bm.value("SELECT count(DISTINCT name) FROM backups") == 12
    assert bm.value("SELECT count(DISTINCT file_path) FROM backup_destinations WHERE status = 'completed'") == 12
    bm.fsck()


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_files_and_directories(bm, tmp, kind):
    tree = bm.directory("tree")
    with open(os.path.join(tree, "Grüße ☕.txt"), "w") as f:
        f.write("perché no\n" * 5000)
    os.makedirs(os.path.join(tree, "a", "empty"))
    os.symlink("nowhere", os.path.join(tree, "a", "link"))
    path = tree if kind == "directory" else os.path.join(tree, "Grüße ☕.txt")
    bm.ctl("database", "add", "things", "--type", kind, "--path", path)
    bm.destination("disk")
    bm.assign("things", "disk")
    bm.worker()
    backup = bm.run("things")
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    file = bm.assert_whole(bm.rows(backup)[0])
    if kind == "file":
        with open(path, "rb") as f:
            assert subprocess.run(["gunzip", "-c", file], capture_output=True, check=True).stdout == f.read()
        return
    assert file.endswith(".tar.gz")
    back = bm.directory("back")
    subprocess.run(["tar", "-xzf", file, "-C", back], check=True)
    found = [line.split("/", 1)[1] for line in _listing(back)]
    assert any("Grüße ☕.txt" in line for line in found) and any(line.endswith("a/empty") for line in found)
    assert any(line.endswith("a/link") for line in found)


def _listing(top):
    return [os.path.join(folder, name) for folder, dirs, files in os.walk(top) for name in dirs + files]
