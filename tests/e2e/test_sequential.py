"""ordering = sequential: the next priority waits until the one before it has ended, however it ended."""

import os

from harness.waiting import wait_for


def four_disks(bm):
    bases = {name: bm.destination(name, "--priority", str(p)) for name, p in
             (("first", 0), ("second", 1), ("twin", 1), ("last", 12))}  # fmt: skip
    bm.command_database("notes", "seq", "1000")
    bm.assign("notes", *bases)
    return bases


def test_scheduled(bm):
    four_disks(bm)
    bm.ctl("schedule", "add", "nightly", "--database", "notes", "--cron", "0 3 * * *", "--ordering", "sequential")
    bm.query("UPDATE schedules SET next_run_at = date_trunc('second', clock_timestamp())")
    bm.scheduler_once()
    redis = bm.redis.client()
    assert redis.llen("bm:{default}:ready:0") == 1
    assert redis.llen("bm:{default}:parked:order") == 3
    bm.fsck()
    bm.worker()
    backup = bm.value("SELECT id FROM backups")
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    first, second, twin, last = sorted(bm.rows(backup), key=lambda row: (row["priority"], row["id"]))
    for earlier in (second, twin):
        assert first["upload_completed_at"] <= earlier["upload_started_at"]
        assert earlier["upload_completed_at"] <= last["upload_started_at"]
    bm.fsck()


def test_a_failed_one_does_not_stop_the_next(bm):
    bases = four_disks(bm)
    os.rename(bases["first"], bases["first"] + ".away")
    bm.worker(BM_MAX_ATTEMPTS="3")
    backup = bm.run("notes", "--ordering", "sequential")
    assert bm.wait_ended(backup)["status"] == "partial", bm.describe(backup)
    assert [row["status"] for row in bm.rows(backup)] == ["failed", "completed", "completed", "completed"]


def test_waits_through_retries_and_a_flush(bm):
    """While the first is being retried nothing later begins, not even after Redis forgot everything."""
    bases = four_disks(bm)
    os.rename(bases["first"], bases["first"] + ".away")
    bm.worker(BM_MAX_ATTEMPTS="1000")
    backup = bm.run("notes", "--ordering", "sequential")
    wait_for(lambda: bm.rows(backup)[0]["attempts"] >= 2, what=lambda: bm.describe(backup))
    bm.redis.client().flushall()
    before = bm.rows(backup)[0]["attempts"]
    wait_for(lambda: bm.rows(backup)[0]["attempts"] >= before + 3, what=lambda: bm.describe(backup))
    assert all(row["attempts"] == 0 and row["status"] == "pending" for row in bm.rows(backup)[1:])
    os.rename(bases["first"] + ".away", bases["first"])
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    bm.fsck()


def test_a_retried_first_does_not_hold_the_next(bm):
    bases = four_disks(bm)
    os.rename(bases["first"], bases["first"] + ".away")
    os.rename(bases["last"], bases["last"] + ".away")
    bm.worker(BM_MAX_ATTEMPTS="2")
    backup = bm.run("notes", "--ordering", "sequential")
    assert bm.wait_ended(backup)["status"] == "partial", bm.describe(backup)
    os.rename(bases["last"] + ".away", bases["last"])
    bm.ctl("backup", "retry", backup, "--destination", "last")
    wait_for(lambda: bm.rows(backup)[3]["status"] == "completed", what=lambda: bm.describe(backup))
    assert bm.rows(backup)[0]["status"] == "failed"


def test_copies_retried_together_do_not_wait_for_each_other(bm):
    """Once a person has retried the first it holds nothing back, even while it is still being tried."""
    bases = four_disks(bm)
    for base in bases.values():
        os.rename(base, base + ".away")
    first_worker = bm.worker(BM_MAX_ATTEMPTS="1")
    backup = bm.run("notes", "--ordering", "sequential")
    assert bm.wait_ended(backup)["status"] == "failed", bm.describe(backup)
    first_worker.terminate()
    for name in ("second", "twin", "last"):
        os.rename(bases[name] + ".away", bases[name])
    bm.ctl("backup", "retry", backup)
    bm.worker(BM_MAX_ATTEMPTS="1000")
    wait_for(lambda: [row["status"] for row in bm.rows(backup)[1:]] == ["completed"] * 3, what=lambda: bm.describe(backup))
    assert bm.rows(backup)[0]["status"] in ("pending", "uploading")
    os.rename(bases["first"] + ".away", bases["first"])
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    bm.fsck()
