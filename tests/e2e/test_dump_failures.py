"""A dump whose program fails, is killed or is cut off is never taken for a backup."""

import os
import subprocess

import pytest

from harness.servers import Postgres, reserve_port
from harness.waiting import wait_for


def two_disks(bm, database):
    bases = [bm.destination("one"), bm.destination("two", type="local_external")]
    bm.assign(database, "one", "two")
    return bases


def files_under(*bases):
    return [
        os.path.join(folder, name)
        for base in bases
        for folder, _, names in os.walk(base)
        for name in names
        if name != ".backupmanager-disk"
    ]


def assert_failed_without_trace(bm, backup, bases, *words):
    row = bm.wait_ended(backup)
    assert row["status"] == "failed", bm.describe(backup)
    for word in words:
        assert word in row["error_message"], row["error_message"]
    for destination in bm.rows(backup):
        assert destination["status"] == "failed"
        for word in words:
            assert word in destination["error_message"], destination["error_message"]
    assert files_under(*bases, bm.env["BM_STAGING_DIR"]) == []


@pytest.mark.parametrize(
    "script, words",
    [
        ("echo half of it; echo 'disk exploded: è finita' >&2; exit 3", ["disk exploded: è finita", "3"]),
        ("echo half of it; kill -9 $$", ["9"]),
        ("echo half of it; kill -TERM $$", ["15"]),
        ("head -c 3000000 /dev/urandom; exit 1", ["1"]),
        ("exec >&-; echo nothing at all >&2; exit 7", ["nothing at all"]),
        ("yes 'a line of complaint that goes on' | head -c 1000000 >&2; echo the last word >&2; exit 1", ["the last word"]),
    ],
    ids=["exit", "sigkill", "sigterm", "after-data", "no-output", "talkative"],
)
def test_child_fails(bm, script, words):
    bm.command_database("bad", "sh", "-c", script)
    bases = two_disks(bm, "bad")
    bm.worker()
    backup = bm.run("bad")
    assert_failed_without_trace(bm, backup, bases, *words)
    assert bm.backup(backup)["artifact_state"] == "failed"
    bm.fsck()


def test_program_is_not_there(bm):
    bm.command_database("bad", "/nowhere/dumper", "--all")
    bases = two_disks(bm, "bad")
    bm.worker()
    assert_failed_without_trace(bm, bm.run("bad"), bases, "/nowhere/dumper")


def test_grandchild_keeps_the_pipe(bm):
    """The child is gone but something it started still holds its output: the worker doesn't wait for ever."""
    bm.command_database("bad", "sh", "-c", "sleep 5 & echo quick; exit 4")
    bases = two_disks(bm, "bad")
    bm.worker()
    assert_failed_without_trace(bm, bm.run("bad"), bases, "4")


@pytest.fixture
def big_table(postgres, source_database):
    postgres.execute(
        source_database,
        "CREATE TABLE filler AS SELECT n, md5(n::text) || md5((n + 1)::text) AS t FROM generate_series(1, 200000) n",
    )
    return source_database


def script(bm, name, body):
    path = os.path.join(bm.tmp, name)
    with open(path, "w") as f:
        f.write("#!/bin/bash\n" + body)
    os.chmod(path, 0o755)
    return path


def test_backend_killed_in_the_middle(bm, postgres, big_table):
    bm.postgres_database("big", big_table)
    bases = two_disks(bm, "big")
    go, reached = os.path.join(bm.tmp, "go"), os.path.join(bm.tmp, "reached")
    slow = script(bm, "slow", f"""set -o pipefail
pg_dump "$@" | {{ head -c 65536; touch {reached}; while [ ! -e {go} ]; do sleep 0.05; done; cat; }}
""")
    bm.worker(BM_PG_DUMP=slow)
    backup = bm.run("big")
    wait_for(lambda: os.path.exists(reached), what=lambda: bm.describe(backup))
    killed = postgres.execute(
        "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [big_table]
    )
    assert killed == [(True,)]
    open(go, "w").close()
    assert_failed_without_trace(bm, backup, bases, "pg_dump")


def test_pg_dump_killed(bm, big_table):
    bm.postgres_database("big", big_table)
    bases = two_disks(bm, "big")
    bm.worker(BM_PG_DUMP=script(bm, "killed", 'head -c 100000 < <(pg_dump "$@"); kill -9 $$\n'))
    assert_failed_without_trace(bm, bm.run("big"), bases, "9")


def test_cut_off_but_exit_0(bm, big_table):
    """Output that stops before pg_dump's closing line is no dump, whatever the exit status says."""
    bm.postgres_database("big", big_table)
    bases = two_disks(bm, "big")
    bm.worker(BM_PG_DUMP=script(bm, "cut", 'pg_dump "$@" | head -c 100000\nexit 0\n'))
    assert_failed_without_trace(bm, bm.run("big"), bases)


def test_no_such_database_tells_so(bm):
    bm.postgres_database("gone", "no_such_database")
    bases = two_disks(bm, "gone")
    bm.worker(BM_MAX_ATTEMPTS="2")
    assert_failed_without_trace(bm, bm.run("gone"), bases, "no_such_database")


def test_source_down_is_waited_for(bm, tmp):
    """No connection to the source: tried again by backoff, on the backup's own counter."""
    server = Postgres(os.path.join(tmp, "source")).create().start()
    try:
        server.execute("postgres", "CREATE TABLE t AS SELECT 'still here' AS words")
        secret = os.path.join(tmp, "secret")
        with open(secret, "w") as f:
            f.write(server.password)
        bm.ctl("database", "add", "away", "--type", "postgresql", "--host", "127.0.0.1", "--port", server.port, "--username",
               "postgres", "--database-name", "postgres", "--password-ref", f"file:{secret}")  # fmt: skip
        two_disks(bm, "away")
        server.stop()
        bm.worker(BM_MAX_ATTEMPTS="1000")
        backup = bm.run("away")
        wait_for(lambda: bm.backup(backup)["artifact_attempts"] >= 2, what=lambda: bm.describe(backup))
        assert bm.backup(backup)["status"] in ("pending", "in_progress")
        server.start()
        assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
        for row in bm.rows(backup):
            file = bm.assert_whole(row)
            assert row["attempts"] == 1, "waiting for the source is no attempt of a destination"
        assert b"still here" in subprocess.run(["gunzip", "-c", file], capture_output=True, check=True).stdout
    finally:
        server.stop()


def test_source_stays_down(bm):
    nobody = reserve_port()
    bm.ctl("database", "add", "away", "--type", "postgresql", "--host", "127.0.0.1", "--port", nobody.getsockname()[1], "--username",
           "postgres", "--database-name", "postgres")  # fmt: skip
    bases = two_disks(bm, "away")
    bm.worker(BM_MAX_ATTEMPTS="3")
    backup = bm.run("away")
    assert_failed_without_trace(bm, backup, bases, "127.0.0.1")
    assert bm.backup(backup)["artifact_attempts"] == 3


def test_wrong_password_is_not_printed(bm, postgres, source_database):
    secret = os.path.join(bm.tmp, "wrong")
    with open(secret, "w") as f:
        f.write("hunter2-is-wrong")
    bm.ctl("database", "add", "locked", "--type", "postgresql", "--host", "127.0.0.1", "--port", postgres.port, "--username",
           "postgres", "--database-name", source_database, "--password-ref", f"file:{secret}")  # fmt: skip
    bases = two_disks(bm, "locked")
    worker = bm.worker(BM_MAX_ATTEMPTS="2")
    backup = bm.run("locked")
    assert_failed_without_trace(bm, backup, bases, "password")
    assert "hunter2" not in bm.backup(backup)["error_message"] and "hunter2" not in worker.log()


def test_missing_secret_file_is_named(bm):
    bm.ctl("database", "add", "locked", "--type", "postgresql", "--host", "127.0.0.1", "--port", "5432", "--username",
           "postgres", "--database-name", "x", "--password-ref", "file:/nowhere/secret")  # fmt: skip
    bases = two_disks(bm, "locked")
    bm.worker(BM_MAX_ATTEMPTS="2")
    assert_failed_without_trace(bm, bm.run("locked"), bases, "/nowhere/secret")


def test_missing_file_is_named(bm):
    path = os.path.join(bm.tmp, "soon-gone")
    open(path, "w").close()
    bm.file_database("gone", path)
    os.remove(path)
    bases = two_disks(bm, "gone")
    bm.worker(BM_MAX_ATTEMPTS="2")
    assert_failed_without_trace(bm, bm.run("gone"), bases, path)
