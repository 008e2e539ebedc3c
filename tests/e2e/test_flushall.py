"""All of Redis can be lost at any moment: PostgreSQL is the truth, and everything is queued again from it."""

import os

from harness.waiting import wait_for


def many(bm, count, *argv):
    bases = [bm.destination("one"), bm.destination("two", "--priority", "1")]
    bm.command_database("word", *(argv or ("seq", "5000")))
    bm.assign("word", "one", "two")
    return bases, [bm.run("word") for _ in range(count)]


def assert_all_completed(bm, backups, bases):
    bm.wait_ended(*backups)
    for backup in backups:
        assert bm.backup(backup)["status"] == "completed", bm.describe(backup)
        for row in bm.rows(backup):
            bm.assert_whole(row)
    bm.assert_tidy(*bases)
    bm.fsck()


def test_before_any_worker(bm):
    bases, backups = many(bm, 10)
    bm.redis.client().flushall()
    bm.worker()
    assert_all_completed(bm, backups, bases)


def test_again_and_again_while_they_work(bm):
    bases, backups = many(bm, 25)
    bm.worker()
    bm.worker()
    redis = bm.redis.client()
    for done in (1, 8, 20):
        wait_for(lambda: bm.value("SELECT count(*) FROM backup_destinations WHERE status = 'completed'") >= done,
                 what=lambda: bm.describe(*backups))  # fmt: skip
        redis.flushall()
    assert_all_completed(bm, backups, bases)
    assert bm.value("SELECT max(attempts) FROM backup_destinations") == 1


def test_while_a_dump_is_under_way(bm):
    """The heartbeat that misses its entry, the fence being still its own, makes it again and goes on."""
    go, begun = os.path.join(bm.tmp, "go"), os.path.join(bm.tmp, "begun")
    bases, backups = many(bm, 1, "sh", "-c", f"touch {begun}; while [ ! -e {go} ]; do sleep 0.05; done; seq 1000")
    bm.worker()
    wait_for(lambda: os.path.exists(begun), what=lambda: bm.describe(*backups))
    bm.redis.client().flushall()
    passes = bm.value("SELECT max(last_run_at) FROM maintenance")
    wait_for(lambda: bm.value("SELECT max(last_run_at) FROM maintenance") != passes)
    open(go, "w").close()
    assert_all_completed(bm, backups, bases)
    assert bm.backup(backups[0])["artifact_fence"] == 1


def test_redis_killed_and_back_empty(bm):
    bases, backups = many(bm, 10)
    worker = bm.worker()
    wait_for(lambda: bm.value("SELECT count(*) FROM backup_destinations WHERE status = 'completed'") >= 3,
             what=lambda: bm.describe(*backups))  # fmt: skip
    bm.redis.kill()
    worker.wait_log("(?i)redis.*(connect|lost|closed|refused|reset|retry|again)")
    bm.redis.start()
    assert_all_completed(bm, backups, bases)
    assert worker.running


def test_scripts_forgotten(bm):
    """SCRIPT FLUSH: the cache of Lua scripts is no place to rely on."""
    bm.worker()
    wait_for(lambda: bm.redis.client().exists("bm:{default}:workers"))
    bm.redis.client().script_flush()
    bases, backups = many(bm, 3)
    assert_all_completed(bm, backups, bases)


def test_pause_survives(bm):
    bases, backups = many(bm, 3)
    bm.ctl("queue", "pause")
    bm.redis.client().flushall()
    bm.worker()
    passes = bm.value("SELECT max(last_run_at) FROM maintenance")
    wait_for(lambda: bm.value("SELECT max(last_run_at) FROM maintenance") != passes)
    wait_for(lambda: bm.redis.client().llen("bm:{default}:parked:paused") == 6, what=lambda: bm.describe(*backups))
    assert bm.value("SELECT count(*) FROM backup_destinations WHERE attempts > 0") == 0
    bm.ctl("queue", "resume")
    assert_all_completed(bm, backups, bases)
