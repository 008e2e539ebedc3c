"""One thing dies at one chosen moment."""

import os

import pytest

from harness.processes import children
from harness.system import System
from harness.waiting import wait_for

import conftest


def blocked(bm, name="slow"):
    """A source that waits in the middle of every run until the file `go` is there; `begun` counts the runs."""
    go, begun = os.path.join(bm.tmp, "go"), os.path.join(bm.tmp, "begun")
    bm.command_database(name, "sh", "-c", f"echo half; echo run >>{begun}; while [ ! -e {go} ]; do sleep 0.05; done; echo rest")
    base = bm.destination("disk")
    bm.assign(name, "disk")
    return go, lambda: len(open(begun).readlines()) if os.path.exists(begun) else 0, base


def touch(path):
    open(path, "w").close()


def test_worker_killed_while_dumping(bm):
    go, runs, base = blocked(bm)
    first = bm.worker(BM_LEASE_SECONDS="3")
    backup = bm.run("slow")
    wait_for(lambda: runs() == 1, what=lambda: bm.describe(backup))
    first.kill()
    # its child must not go on without it
    wait_for(lambda: not [pid for pid in children(os.getpid()) if "while [ !" in conftest.command_of(pid)], 120,
             "the dump of the killed worker has ended")  # fmt: skip
    bm.worker(BM_LEASE_SECONDS="3")
    wait_for(lambda: runs() == 2, what=lambda: bm.describe(backup))
    touch(go)
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    bm.assert_whole(row)
    assert row["attempts"] == 1, "a lost lease is no attempt"
    bm.fsck()
    wait_for(lambda: not [n for n in os.listdir(bm.env["BM_STAGING_DIR"]) if n.endswith(".tmp")], 60, "staging is tidy")
    bm.assert_tidy(base)


def test_stopped_worker_comes_back_stale(bm):
    """Silent past its lease, another does the work; back, the first one changes nothing."""
    go, runs, base = blocked(bm)
    first = bm.worker(BM_LEASE_SECONDS="3")
    backup = bm.run("slow")
    wait_for(lambda: runs() == 1, what=lambda: bm.describe(backup))
    first.pause()
    second = bm.worker(BM_LEASE_SECONDS="3")
    wait_for(lambda: runs() == 2, what=lambda: bm.describe(backup))
    touch(go)
    ended = bm.wait_ended(backup)
    assert ended["status"] == "completed", bm.describe(backup)
    before = (ended, bm.rows(backup))
    first.resume()
    first.wait_log("(?i)stale|lost|fence")
    assert (bm.backup(backup), bm.rows(backup)) == before
    bm.assert_whole(bm.rows(backup)[0], ended["artifact_sha256"])
    first.terminate()
    second.terminate()
    bm.assert_tidy(base)
    bm.fsck()


def test_worker_killed_while_uploading(bm):
    bm.file_database("big", bm.random_file("big", 192 << 20))
    bases = [bm.destination(f"d{n}") for n in range(3)]
    bm.assign("big", "d0", "d1", "d2")
    first = bm.worker(BM_LEASE_SECONDS="3")
    backup = bm.run("big")
    wait_for(lambda: any(row["status"] != "pending" for row in bm.rows(backup)), what=lambda: bm.describe(backup))
    first.kill()
    bm.worker(BM_LEASE_SECONDS="3")
    ended = bm.wait_ended(backup)
    assert ended["status"] == "completed", bm.describe(backup)
    for row in bm.rows(backup):
        bm.assert_whole(row, ended["artifact_sha256"])
    bm.assert_tidy(*bases)
    bm.fsck()


@pytest.fixture
def mortal(programs, own_postgres, redis, tmp):
    """A system whose PostgreSQL may be killed."""
    own_postgres.create_database("mortal")
    system = System(programs, own_postgres, redis, "mortal", tmp,
                    conftest.base_environment(tmp, own_postgres.dsn("mortal"), redis.url))  # fmt: skip
    system.ctl("migrate", "up")
    yield system
    conftest.finish(system)


def test_postgres_killed_while_they_work(mortal):
    bm = mortal
    go, runs, base = blocked(bm)
    bm.command_database("word", "seq", "10000")
    bm.assign("word", "disk")
    worker, scheduler = bm.worker(), bm.scheduler()
    backups = [bm.run("slow")] + [bm.run("word") for _ in range(10)]
    wait_for(lambda: runs() == 1, what=lambda: bm.describe(*backups))
    bm.postgres.kill()
    bm.connection = None
    worker.wait_log("(?i)(postgres|database|server).*(lost|closed|connect|terminat|again|retry)")
    bm.postgres.start()
    touch(go)
    bm.wait_ended(*backups)
    for backup in backups:
        row = bm.rows(backup)[0]
        assert row["attempts"] == 1, row
        bm.assert_whole(row, bm.backup(backup)["artifact_sha256"])
    assert worker.running and scheduler.running
    bm.assert_tidy(base)
    bm.fsck()


def test_leases_that_postgres_lost_are_no_poison(mortal):
    """A worker that lives on while PostgreSQL is away longer than a lease gives its dump back: that is an answer."""
    bm = mortal
    go, runs, base = blocked(bm)
    worker = bm.worker(BM_LEASE_SECONDS="3")
    backup = bm.run("slow")
    wait_for(lambda: runs() == 1, what=lambda: bm.describe(backup))
    bm.query("UPDATE backups SET artifact_takes = 10")
    bm.postgres.kill()
    bm.connection = None
    worker.wait_log("given back")
    bm.postgres.start()
    wait_for(lambda: runs() == 2, what=lambda: bm.describe(backup))
    assert bm.backup(backup)["artifact_takes"] == 1
    touch(go)
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    bm.assert_whole(bm.rows(backup)[0])
    bm.assert_tidy(base)


def test_a_lease_slept_through_is_no_poison(bm):
    """The same for a copy. Nobody else took the row meanwhile, so the fence is still this worker's."""
    bm.file_database("big", bm.random_file("big", 256 << 20))
    base = bm.destination("disk")
    bm.assign("big", "disk")
    worker = bm.worker(BM_LEASE_SECONDS="3", BM_RECONCILE_SECONDS="3600", BM_RELAY_SECONDS="3600")

    def slept_through():
        """Stopped in the middle of a copy until its lease is over; False when the copy was done before that."""
        backup = bm.run("big")
        wait_for(lambda: bm.rows(backup)[0]["status"] != "pending", what=lambda: bm.describe(backup), every=0.002)
        worker.pause()
        bm.query("UPDATE backup_destinations SET takes = 10 WHERE status = 'uploading'")
        wait_for(lambda: bm.value("SELECT lease_until < clock_timestamp() FROM backup_destinations WHERE backup_id = %s "
                                  "AND status = 'uploading'", backup) is not False, what="the lease is over")  # fmt: skip
        worker.resume()
        assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
        bm.assert_whole(bm.rows(backup)[0])
        return "given back" in worker.log()

    assert any(slept_through() for _ in range(10)), "no copy was ever under way"
    bm.assert_tidy(base)


def test_both_servers_killed(mortal):
    bm = mortal
    go, runs, base = blocked(bm)
    worker, scheduler = bm.worker(), bm.scheduler()
    backup = bm.run("slow")
    wait_for(lambda: runs() == 1, what=lambda: bm.describe(backup))
    bm.redis.kill()
    bm.postgres.kill()
    bm.connection = None
    bm.redis.start()
    bm.postgres.start()
    touch(go)
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    bm.assert_whole(bm.rows(backup)[0])
    assert worker.running and scheduler.running
    bm.assert_tidy(base)
    bm.fsck()


def test_scheduler_killed_between_commit_and_push(bm):
    """A row without enqueued_at is pushed by whoever comes next."""
    bm.destination("disk")
    bm.command_database("word", "echo", "word")
    bm.assign("word", "disk")
    bm.ctl("schedule", "add", "s", "--database", "word", "--cron", "0 4 * * *")
    bm.query("UPDATE schedules SET next_run_at = date_trunc('second', clock_timestamp())")
    bm.redis.kill()
    scheduler = bm.scheduler()
    backup = wait_for(lambda: bm.value("SELECT id FROM backups"), what=scheduler.tail)
    assert bm.rows(backup)[0]["enqueued_at"] is None
    scheduler.kill()
    bm.redis.start()
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)


def test_fence_moves_while_the_answer_waits(bm, postgres):
    """The worker's last word is under way when another takes the row: it must change nothing, not even then."""
    bm.file_database("big", bm.random_file("big", 256 << 20))
    base = bm.destination("disk")
    bm.assign("big", "disk")
    worker = bm.worker(BM_LEASE_SECONDS="60")
    other = postgres.connect(bm.database)
    other.autocommit = False

    def locked_while_copying():
        """A backup whose row is locked by `other`; None when its copy was quicker than that."""
        backup = bm.run("big")
        wait_for(lambda: bm.rows(backup)[0]["status"] != "pending", what=lambda: bm.describe(backup), every=0.002)
        with other.cursor() as cursor:
            cursor.execute("SELECT status FROM backups WHERE id = %s FOR UPDATE", [backup])
            if cursor.fetchone()[0] == "in_progress":
                return backup
        other.rollback()
        return None

    backup = next(filter(None, (locked_while_copying() for _ in range(20))))
    with other.cursor() as cursor:
        # copied, and waiting with "completed" for our lock
        wait_for(lambda: os.path.exists(os.path.join(base, bm.rows(backup)[0]["file_path"])) and bm.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'", bm.database),
            what=lambda: bm.describe(backup))  # fmt: skip
        cursor.execute("UPDATE backup_destinations SET fence = fence + 1, lease_owner = 'someone-else', lease_until = "
                       "clock_timestamp() + interval '20 seconds' WHERE backup_id = %s RETURNING fence", [backup])  # fmt: skip
        fence = cursor.fetchone()[0]
    other.commit()
    worker.wait_log(r"(?i)stale|lost|no longer|another")
    row = bm.rows(backup)[0]
    assert (row["status"], row["fence"], row["lease_owner"]) == ("uploading", fence, "someone-else"), row
    assert row["checksum"] is None
    other.close()
    # that other one never answers: the row is taken again, and the file that stands there already is the same
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    assert row["fence"] > fence
    bm.assert_whole(row)
    bm.assert_tidy(base)
    bm.fsck()
