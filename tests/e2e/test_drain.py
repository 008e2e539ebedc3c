"""SIGTERM: no new jobs, what can be finished in time is finished, the rest goes back without spending an attempt."""

import os

from harness.waiting import wait_for


def blocked_command(bm, name):
    """A source that waits in the middle until the file `go` is there."""
    go, begun = os.path.join(bm.tmp, f"{name}.go"), os.path.join(bm.tmp, f"{name}.begun")
    bm.command_database(
        name, "sh", "-c", f"echo first half; touch {begun}; while [ ! -e {go} ]; do sleep 0.05; done; echo second half"
    )
    return go, begun


def test_dump_under_way_is_given_back(bm):
    go, begun = blocked_command(bm, "slow")
    base = bm.destination("disk")
    bm.assign("slow", "disk")
    worker = bm.worker(BM_DRAIN_SECONDS="1")
    backup = bm.run("slow")
    wait_for(lambda: os.path.exists(begun), what=lambda: bm.describe(backup))
    worker.terminate()
    row, destination = bm.backup(backup), bm.rows(backup)[0]
    assert row["artifact_state"] == "none" and row["artifact_owner"] is None, row
    assert row["artifact_attempts"] == 0
    assert (destination["status"], destination["attempts"]) == ("pending", 0)
    bm.assert_tidy(base)
    redis = bm.redis.client()
    assert redis.zcard("bm:{default}:lease") == 0
    assert [key for key in redis.keys("bm:{default}:active:*") if redis.llen(key)] == []

    open(go, "w").close()
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    destination = bm.rows(backup)[0]
    assert destination["attempts"] == 1
    bm.assert_whole(destination)
    bm.fsck()


def test_dump_under_way_is_finished_in_time(bm):
    go, begun = blocked_command(bm, "slow")
    bm.destination("disk")
    bm.assign("slow", "disk")
    worker = bm.worker(BM_DRAIN_SECONDS="120")
    backup = bm.run("slow")
    wait_for(lambda: os.path.exists(begun), what=lambda: bm.describe(backup))
    worker.signal(15)
    worker.wait_log("(?i)drain")
    open(go, "w").close()
    worker.wait()
    worker.check()
    row = bm.backup(backup)
    assert row["artifact_state"] == "ready" or row["status"] == "completed", row
    destination = bm.rows(backup)[0]
    assert destination["status"] == "completed" or destination["attempts"] == 0
    bm.worker()
    bm.wait_ended(backup)
    destination = bm.rows(backup)[0]
    assert destination["attempts"] == 1
    bm.assert_whole(destination)


def test_upload_under_way(bm):
    """Whatever moment the signal meets: completed, or pending again with no attempt spent."""
    bm.file_database("big", bm.random_file("big", 192 << 20))
    bases = [bm.destination(f"d{n}") for n in range(3)]
    bm.assign("big", "d0", "d1", "d2")
    worker = bm.worker(BM_DRAIN_SECONDS="0")
    backup = bm.run("big")
    wait_for(lambda: any(row["status"] == "uploading" for row in bm.rows(backup)) or
             bm.backup(backup)["status"] == "completed", what=lambda: bm.describe(backup))  # fmt: skip
    worker.terminate()
    for row in bm.rows(backup):
        assert (row["status"], row["attempts"]) in (("completed", 1), ("pending", 0)), row
        assert row["lease_owner"] is None or row["status"] == "completed", row
    bm.assert_tidy(*bases)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    for row in bm.rows(backup):
        assert row["attempts"] == 1
        bm.assert_whole(row)
    bm.fsck()


def test_idle_worker_and_scheduler_end_at_once(bm):
    worker, scheduler = bm.worker(), bm.scheduler()
    wait_for(lambda: bm.redis.client().exists("bm:{default}:workers"))
    worker.terminate()
    wait_for(lambda: scheduler.log())
    scheduler.terminate()
    assert not bm.redis.client().exists("bm:{default}:workers")
