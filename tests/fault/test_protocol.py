"""Rules of the queue that hold only between two events: each test puts the system into one such state, by hand where
it would otherwise take luck, and looks at what the programs make of it."""

import os

import pytest

from harness.waiting import wait_for

HOUR = "interval '1 hour'"


def evals(bm):
    """Script calls that Redis has served so far."""
    stats = bm.redis.client().info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))


def holder_of_the_lock(bm):
    """Who runs a maintenance pass, by PostgreSQL's backend."""
    return bm.value("SELECT a.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
                    " WHERE l.locktype = 'advisory' AND l.granted AND l.objid = 7305171 AND a.datname = current_database()")  # fmt: skip


def by_hand(bm, name):
    """A backup that only a pass can find."""
    bm.query("INSERT INTO backups (name, database_id, status, created_by) SELECT %s, d.id, 'pending', u.id"
             " FROM databases d, users u WHERE u.username = 'system'", name)  # fmt: skip
    backup = bm.value("SELECT id FROM backups WHERE name = %s", name)
    bm.query("INSERT INTO backup_destinations (backup_id, storage_type, storage_name, file_path, base_path, status,"
             " destination_id) SELECT %s, storage_type, name, 'by/' || %s, base_path, 'pending', id FROM destinations",
             backup, name)  # fmt: skip
    return backup


def test_a_frozen_worker_does_not_keep_the_others_from_relaying(bm):
    """One pass runs at a time; whoever falls silent in the middle of one loses its turn."""
    bm.command_database("notes", "seq", "1000")
    bm.destination("disk")
    bm.assign("notes", "disk")
    blocker = bm.postgres.connect(bm.database)
    blocker.autocommit = False
    with blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE queues IN ACCESS EXCLUSIVE MODE")  # the relay reads it
    frozen = bm.worker()
    wait_for(lambda: holder_of_the_lock(bm), what="a pass is under way")
    frozen.pause()
    blocker.rollback()
    blocker.close()
    second = bm.worker()
    backup = by_hand(bm, "one")
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    second.terminate()
    frozen.resume()
    backup = by_hand(bm, "two")
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)


@pytest.fixture
def two_rows(bm):
    """A produced backup with two unfinished copies, and no worker: (backup id, row ids, base of the copies)."""
    bm.command_database("notes", "seq", "1000")
    base = bm.destination("disk", "--max-concurrent", "1")
    bm.destination("second", "--priority", "1")
    bm.assign("notes", "disk", "second")
    return base


def abandoned(bm, row, expired=True):
    """As a worker leaves it that took it and was never heard of again."""
    bm.query("UPDATE backup_destinations SET status = 'uploading', fence = fence + 1, attempts = 1, takes = 1,"
             " lease_owner = 'elsewhere-1-dead', enqueued_at = clock_timestamp(), lease_until = clock_timestamp() +"
             f" CASE WHEN %s THEN -{HOUR} ELSE {HOUR} END WHERE id = %s", expired, row)  # fmt: skip


def wait_for_a_pass(bm):
    before = bm.value("SELECT clock_timestamp()")
    wait_for(lambda: bm.value("SELECT max(last_run_at) > %s FROM maintenance WHERE name = 'reconcile'", before),
             what="a pass over all queues has ended")  # fmt: skip


def quiet_while_parked(bm, why):
    key = "bm:{default}:parked:" + why
    client = bm.redis.client()
    wait_for(lambda: client.llen(key) == 1, what=lambda: f"parked:{why}: {client.keys('*')}")
    wait_for_a_pass(bm)
    before = evals(bm)
    for _ in range(3):
        wait_for_a_pass(bm)
    calls = evals(bm) - before
    assert calls < 3 * 20, f"{calls} script calls in three passes while the only job waits"


def test_an_abandoned_row_waits_for_its_full_destination(bm, two_rows):
    """Its lease is over, its destination is full: it waits as a new one would, not in a circle."""
    first, second = bm.run("notes"), bm.run("notes")
    bm.query("UPDATE backup_destinations SET status = 'failed' WHERE storage_name = 'second'")
    rows = [bm.rows(backup)[0]["id"] for backup in (first, second)]
    bm.query("UPDATE backups SET artifact_state = 'ready', artifact_fence = 1, artifact_size = 1, artifact_sha256 = 'x',"
             " artifact_host = 'elsewhere:/', status = 'in_progress'")  # fmt: skip
    abandoned(bm, rows[0])
    abandoned(bm, rows[1], expired=False)
    bm.worker()
    destination = bm.value("SELECT id FROM destinations WHERE name = 'disk'")
    quiet_while_parked(bm, f"full:{destination}")
    assert bm.rows(first)[0]["status"] == "uploading"


def test_an_abandoned_row_waits_for_its_artifact(bm, two_rows):
    backup = bm.run("notes")
    bm.query("UPDATE backup_destinations SET status = 'failed' WHERE storage_name = 'second'")
    abandoned(bm, bm.rows(backup)[0]["id"])
    bm.query("UPDATE backups SET artifact_state = 'producing', artifact_fence = 2, artifact_owner = 'elsewhere-1-live',"
             f" artifact_host = 'elsewhere:/', artifact_lease_until = clock_timestamp() + {HOUR}, status = 'in_progress'")  # fmt: skip
    bm.worker()
    quiet_while_parked(bm, "artifact")


def test_no_new_generation_beside_an_upload_of_the_old_one(bm, two_rows):
    """The staged artifact is gone, but one upload still reads it: the other copy waits for that one."""
    backup = bm.run("notes")
    rows = [row["id"] for row in bm.rows(backup)]
    bm.query("UPDATE backups SET artifact_state = 'gone', artifact_fence = 1, artifact_size = 1, artifact_sha256 = 'x',"
             " artifact_host = 'elsewhere:/', status = 'in_progress'")  # fmt: skip
    abandoned(bm, rows[0], expired=False)
    bm.worker()
    wait_for(lambda: bm.rows(backup)[1]["fence"] > 0 or bm.backup(backup)["artifact_fence"] > 1,
             what=lambda: bm.describe(backup))  # fmt: skip
    assert bm.backup(backup)["artifact_fence"] == 1, "dumped again while a copy of the first dump is on its way"
    # that upload ends without a copy: now there is nothing left of the first dump
    bm.query("UPDATE backup_destinations SET status = 'failed', lease_until = NULL, lease_owner = NULL WHERE id = %s",
             rows[0])  # fmt: skip
    assert bm.wait_ended(backup)["status"] == "partial", bm.describe(backup)
    assert bm.backup(backup)["artifact_fence"] > 1


def test_a_new_generation_disowns_the_silent_uploads_of_the_old_one(bm, two_rows):
    """A worker that was silent past its lease may hold a finished copy of the old dump, not yet recorded. Its row must
    not become `completed` with that one beside copies of the new dump."""
    backup = bm.run("notes")
    rows = [row["id"] for row in bm.rows(backup)]
    bm.query("UPDATE backups SET artifact_state = 'ready', artifact_fence = 1, artifact_size = 1, artifact_sha256 = 'x',"
             " artifact_host = 'elsewhere:/', status = 'in_progress'")  # fmt: skip
    abandoned(bm, rows[0])
    bm.query("UPDATE backup_destinations SET queue = 'unserved' WHERE id = %s", rows[0])
    bm.redis.client().flushall()
    fence = bm.rows(backup)[0]["fence"]
    bm.worker()
    wait_for(lambda: bm.rows(backup)[1]["status"] == "completed", what=lambda: bm.describe(backup))
    assert bm.backup(backup)["artifact_fence"] > 1
    assert bm.rows(backup)[0]["fence"] > fence, "its late outcome would be taken for one of this generation"


def test_a_failed_attempt_comes_again_when_it_is_due(bm):
    """An idle worker knows when the next retry falls due; it doesn't find it by chance of the fallback poll."""
    bm.command_database("notes", "seq", "1000")
    base = bm.destination("disk")
    bm.assign("notes", "disk")
    os.rename(base, base + ".away")
    worker = bm.worker(BM_RETRY_BASE_MS="20", BM_RETRY_CAP_MS="20", BM_MAX_ATTEMPTS="4", BM_RELAY_SECONDS="3600",
                       BM_RECONCILE_SECONDS="3600")  # fmt: skip
    worker.wait_log("serves")
    backup = bm.run("notes")
    ended = bm.wait_ended(backup, bound=50)  # three fallback polls take 60 s
    assert ended["status"] == "failed" and bm.rows(backup)[0]["attempts"] == 4


def test_a_backup_whose_last_open_row_was_deleted_ends(bm, two_rows):
    """People delete rows by plain SQL; what is left decides."""
    bm.worker()
    backup = bm.run("notes")
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    bm.query("INSERT INTO backup_destinations (backup_id, storage_type, storage_name, file_path, base_path, status, queue)"
             " SELECT %s, 'local', 'third', 'x', '/nowhere', 'pending', 'unserved'", backup)  # fmt: skip
    bm.query("UPDATE backups SET status = 'in_progress', completed_at = NULL WHERE id = %s", backup)
    bm.query("DELETE FROM backup_destinations WHERE backup_id = %s AND storage_name = 'third'", backup)
    ended = bm.wait_ended(backup)
    assert ended["status"] == "completed" and ended["completed_at"] is not None


def test_an_outcome_that_postgresql_refuses_holds_up_no_other(bm):
    """One row whose end can't be written, say by somebody's trigger: the others of its batches are written."""
    bm.command_database("notes", "seq", "10")
    bm.destination("good")
    bm.destination("bad", "--priority", "1")
    bm.assign("notes", "good", "bad")
    bm.query("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$")
    bm.query("CREATE TRIGGER refuse BEFORE UPDATE ON backup_destinations FOR EACH ROW"
             " WHEN (NEW.storage_name = 'bad' AND NEW.status = 'completed') EXECUTE FUNCTION refuse()")  # fmt: skip
    backups = [bm.run("notes") for _ in range(8)]
    bm.worker(BM_LEASE_SECONDS="60")
    wait_for(lambda: all([row["status"] for row in bm.rows(backup)] == ["completed", "uploading"] for backup in backups), 50,
             lambda: bm.describe(*backups))  # fmt: skip
    bm.query("DROP TRIGGER refuse ON backup_destinations")


def test_lines_pushed_by_hand_do_not_hold_up_a_pass(bm, two_rows):
    """A parked list of many lines whose jobs stand nowhere: each pass reads it once and goes on."""
    client = bm.redis.client()
    lines = [b'{"id":%d,"op":"upload"}' % (1000000 + i) for i in range(500)]
    client.rpush("bm:{default}:parked:order", *lines)
    client.sadd("bm:{default}:parked", "order")
    worker = bm.worker()
    backup = bm.run("notes")
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    wait_for_a_pass(bm)
    worker.terminate()


def test_a_copy_that_is_no_copy_keeps_nobody_waiting(bm, two_rows):
    """A completed row that plain SQL made, with another checksum: no source for its sibling, no reason to dump anew,
    and no wait without end either."""
    backup = bm.run("notes")
    rows = [row["id"] for row in bm.rows(backup)]
    bm.query("UPDATE backups SET artifact_state = 'gone', artifact_fence = 1, artifact_size = 1, artifact_sha256 = 'x',"
             " artifact_host = 'elsewhere:/', status = 'in_progress'")  # fmt: skip
    bm.query("UPDATE backup_destinations SET status = 'completed', checksum = 'y', file_size = 1 WHERE id = %s", rows[0])
    bm.worker(BM_HANDOVER_SECONDS="1")
    assert bm.wait_ended(backup)["status"] == "partial", bm.describe(backup)
    message = bm.rows(backup)[1]["error_message"]
    assert "gone" in message and "the copy at disk is recorded with sha256 y, should be x" in message, message
    assert bm.backup(backup)["artifact_fence"] == 1
