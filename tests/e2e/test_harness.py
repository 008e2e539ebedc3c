"""The harness itself: its servers come back after kill -9, and it sees leftovers and sanitizer reports."""

import os
import sys

import pytest

from harness.processes import Process, children


def test_postgres_survives_kill(own_postgres):
    own_postgres.execute("postgres", "CREATE TABLE t AS SELECT 7 AS n")
    own_postgres.kill()
    own_postgres.start()
    assert own_postgres.execute("postgres", "SELECT n FROM t") == [(7,)]
    assert own_postgres.execute("postgres", "SHOW fsync") == [("on",)]


def test_redis_comes_back_empty(redis):
    redis.client().set("a", "1")
    redis.kill()
    redis.start()
    assert redis.client().get("a") is None


def test_sanitizer_report_fails(tmp):
    script = "import sys; print('x.c:1:2: runtime error: shift', file=sys.stderr)"
    process = Process([sys.executable, "-c", script], dict(os.environ), os.path.join(tmp, "log")).start()
    process.wait()
    with pytest.raises(AssertionError, match="sanitizer report"):
        process.check()


def test_bad_exit_fails(tmp):
    process = Process(["sh", "-c", "exit 3"], dict(os.environ), os.path.join(tmp, "log")).start()
    process.wait()
    with pytest.raises(AssertionError, match="ended with 3"):
        process.check()


def test_programs_may_be_ended_as_soon_as_they_are_started(bm):
    """SIGTERM to one that has no handler yet would kill it, and that is no clean end."""
    bm.worker(), bm.scheduler(), bm.process([bm.programs.api], "api", {"BM_LISTEN": "127.0.0.1:0"}).start()


def test_orphans_become_ours(tmp, wait_for):
    before = set(children(os.getpid()))
    Process(["sh", "-c", "sleep 600 & echo $!"], dict(os.environ), os.path.join(tmp, "log")).start().wait()
    orphan = wait_for(lambda: set(children(os.getpid())) - before).pop()
    os.kill(orphan, 9)
    os.waitpid(orphan, 0)
