"""Nothing that anyone pushes into a list stops a worker or is dropped in silence."""

import json

import pytest

from harness.waiting import wait_for

MALFORMED = [
    "not json at all",
    "",
    "{",
    "{}",
    "[]",
    "null",
    "42",
    '"upload:1"',
    '{"id":"one","op":"upload"}',
    '{"id":1.5,"op":"upload"}',
    '{"id":-1,"op":"upload"}',
    '{"id":99999999999999999999,"op":"upload"}',
    '{"id":1}',
    '{"op":"upload"}',
    '{"id":1,"op":"explode"}',
    '{"id":1,"op":["upload"]}',
    '{"id":1,"op":"upload","priority":"high","attempt":{}}' + " " * 3 + "trailing",
    '{"id":1,"op":"upload"' + ',"x":[[[[[[[[' * 200,
    "\x00\x01\x02 binary",
    '{"id":1,"op":"upl\ud83doad"}'.encode("utf-8", "surrogatepass"),
    b"\xff\xfe\xfd",
    "x" * 2_000_000,
]


@pytest.mark.parametrize("push", ["lpush", "rpush"])
def test_dead_with_its_reason(bm, push):
    bm.destination("disk")
    bm.command_database("word", "echo", "word")
    bm.assign("word", "disk")
    redis = bm.redis.client()
    for job in MALFORMED:
        getattr(redis, push)("bm:{default}:ready:0", job)
    backup = bm.run("word")
    worker = bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    bm.assert_whole(bm.rows(backup)[0])
    wait_for(lambda: redis.llen("bm:{default}:dead") >= len(MALFORMED),
             what=lambda: f"{redis.llen('bm:{default}:dead')} of {len(MALFORMED)} dead\n{worker.tail()}")  # fmt: skip
    for entry in redis_raw(bm).lrange("bm:{default}:dead", 0, -1):
        told = json.loads(entry.decode(errors="replace"))  # the entry itself is readable, whatever it holds
        assert told.get("error"), entry[:300]
    assert worker.running
    wait_for(lambda: not redis.keys("bm:{default}:ready:*") and not redis.zcard("bm:{default}:lease"), what=worker.tail)
    listed = bm.ctl("queue", "list", "--state", "dead", json=True)
    assert len(listed) >= len(MALFORMED) or listed.get("jobs")
    bm.fsck()


def redis_raw(bm):
    import redis

    return redis.Redis(unix_socket_path=bm.redis.socket)


def test_row_that_is_gone(bm):
    bm.command_database("word", "echo", "word")
    redis = bm.redis.client()
    redis.lpush("bm:{default}:ready:0", '{"id":424242,"op":"upload","backup_id":7,"priority":0,"attempt":1}')
    worker = bm.worker()
    wait_for(lambda: "424242" in worker.log() and not redis.exists("bm:{default}:ready:0"), what=worker.tail)
    wait_for(lambda: not redis.zcard("bm:{default}:lease") and not redis.hlen("bm:{default}:jobs"), what=worker.tail)
    assert redis.llen("bm:{default}:dead") == 0
    bm.fsck()


def test_same_job_twice(bm):
    """A job pushed by hand beside the real one: one copy, one attempt."""
    base = bm.destination("disk")
    bm.command_database("word", "echo", "word")
    bm.assign("word", "disk")
    backup = bm.run("word")
    redis = bm.redis.client()
    job = redis.lindex("bm:{default}:ready:0", 0)
    for _ in range(5):
        redis.rpush("bm:{default}:ready:0", job)
        redis.rpush("bm:{default}:ready:7", job)
    workers = [bm.worker() for _ in range(3)]
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    bm.assert_whole(row)
    assert row["attempts"] == 1
    wait_for(lambda: not redis.keys("bm:{default}:ready:*") and not redis.zcard("bm:{default}:lease"),
             what=lambda: workers[0].tail())  # fmt: skip
    bm.assert_tidy(base)
    bm.fsck()


def test_wrong_type_of_key(bm):
    """A key of ours that is something else: said clearly, and the worker is back when it is repaired."""
    bm.destination("disk")
    bm.command_database("word", "echo", "word")
    bm.assign("word", "disk")
    redis = bm.redis.client()
    backup = bm.run("word")
    redis.rename("bm:{default}:ready:0", "saved")
    redis.set("bm:{default}:ready:0", "a string")
    worker = bm.worker()
    worker.wait_log("WRONGTYPE|ready:0")
    redis.rename("saved", "bm:{default}:ready:0")
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
