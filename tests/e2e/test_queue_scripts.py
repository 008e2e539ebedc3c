"""Each Lua script of common/queue against a real Redis: its moves, its token checks, and what it must not touch."""

import json
import os

import pytest
import redis as redis_module

from harness.queue_scripts import BELL_MAX, HOUR, Queue, Settle, job, key_of
from harness.servers import Redis
from harness.waiting import wait_for

@pytest.fixture(scope="module")
def server(session_dir):
    server = Redis(os.path.join(session_dir, "redis-scripts")).start()
    yield server
    server.stop()


@pytest.fixture
def queue(server):
    """An empty queue; the rules are checked when the test ends."""
    client = redis_module.Redis(unix_socket_path=server.socket)
    client.flushall()
    queue = Queue(client)
    yield queue
    queue.check()
    client.close()


def lines(*ids, **members):
    return [job(i, **members) for i in ids]


# ---- enqueue


def test_enqueue_puts_each_job_once_in_its_band(queue):
    jobs = [job(1), job(2, priority=3), job(3, priority=9), job(4, priority=400), job(5, priority=-2)]
    assert queue.enqueue(*jobs) == [1] * 5
    assert queue.enqueue(*jobs) == [0] * 5
    assert queue.enqueue(jobs[0], jobs[0]) == [0, 0]
    assert queue.ready(0) == [jobs[0], jobs[4]]
    assert queue.ready(3) == [jobs[1]]
    assert queue.ready(9) == [jobs[2], jobs[3]]
    assert queue.enqueue(job(6), job(6)) == [1, 0]
    assert queue.enqueue(job(1, op="verify")) == [1], "another operation on the same row is another job"


@pytest.mark.parametrize("where", ["retry:3600000", "parked:paused"])
def test_enqueue_waiting_then_pulled_forward(queue, where):
    first, second = job(1, attempt=1), job(1, attempt=2, priority=2)
    assert queue.enqueue(first, where=where) == [1]
    assert queue.place(b"upload:1").startswith(where.partition(":")[0])
    assert queue.bell() == 0, "nobody can take it yet"
    assert queue.enqueue(first, where=where) == [0]
    assert queue.enqueue(second) == [2], "moved to ready, with the newer line"
    assert queue.ready(2) == [second]
    assert queue.retry() == [] and queue.parked("paused") == []
    assert not queue.redis.exists(queue.key("parked"))
    assert queue.bell() == 1


def test_enqueue_leaves_an_active_job_alone(queue):
    queue.enqueue(job(1))
    queue.claim()
    before = queue.snapshot()
    for where in ("ready", "retry:0", "parked:paused"):
        assert queue.enqueue(job(1, attempt=5), where=where) == [0]
    assert queue.snapshot() == before


def test_bell_is_capped(queue):
    queue.enqueue(*lines(*range(1, 1001)))
    assert queue.bell() == BELL_MAX
    queue.enqueue(*lines(*range(1001, 2001)))
    assert queue.bell() == BELL_MAX


# ---- claim


def test_claim_goes_by_band_then_age(queue):
    queue.enqueue(job(1, priority=5), job(2, priority=0), job(3, priority=9), job(4, priority=0), job(5, priority=1))
    turn = queue.turn(want=3, first_token=70)
    assert [key_of(line) for line in turn.claimed] == [b"upload:2", b"upload:4", b"upload:5"]
    assert turn.keys == [b"upload:2", b"upload:4", b"upload:5"]
    assert (turn.malformed, turn.duplicates, turn.next_due_ms) == (0, 0, -1)
    assert queue.active() == turn.claimed
    assert queue.redis.hget(queue.key("jobs"), "upload:4") == b"active:w1 71 " + turn.claimed[1]
    assert queue.claim(want=10) == [job(1, priority=5), job(3, priority=9)]
    assert queue.claim(want=10) == []
    queue.check()


def test_claimed_by_one_worker_only(queue):
    queue.enqueue(*lines(1, 2, 3))
    assert queue.claim(2, worker="a") == lines(1, 2)
    assert queue.claim(2, worker="b") == lines(3)
    assert queue.claim(2, worker="a") == []


def test_want_zero_claims_nothing(queue):
    queue.enqueue(job(1))
    queue.enqueue(job(2), where="retry:0")
    before = queue.snapshot()
    assert queue.turn(want=0).claimed == []
    assert queue.snapshot() == before


def test_one_claim_in_four_goes_to_who_waited_too_long(queue):
    old, new = "2025-11-02T08:00:00Z", "2025-11-02T09:00:00Z"
    limit = "2025-11-02T08:30:00Z"
    queue.enqueue(*lines(*range(1, 101), priority=0, enqueued_at=new))
    queue.enqueue(*lines(201, 202, 203, priority=9, enqueued_at=old))
    queue.enqueue(job(301, priority=4, enqueued_at="2025-11-02T08:20:00Z"))
    queue.enqueue(job(302, priority=4, enqueued_at=new))
    claimed = [key_of(line).decode() for line in queue.claim(8, starving_before=limit)]
    assert claimed == ["upload:201", "upload:202", *(f"upload:{i}" for i in range(1, 7))]
    claimed = [key_of(line).decode() for line in queue.claim(8, starving_before=limit)]
    assert claimed[:2] == ["upload:203", "upload:301"] and len(claimed) == 8
    assert {key_of(line).decode()[7:] for line in queue.claim(8, starving_before=limit)} == {
        str(i) for i in range(13, 21)
    }, "302 has not waited too long"


def test_no_band_starves_while_one_slot_is_claimed_at_a_time(queue):
    """With room for one job at a time, chance decides whose turn it is: far below 400 turns are needed."""
    queue.enqueue(job(1, priority=9, enqueued_at="2025-01-01T00:00:00Z"))
    for i in range(2, 402):
        queue.enqueue(job(i, enqueued_at="2025-11-02T09:00:00Z"))
        queue.enqueue(job(i + 1000, enqueued_at="2025-11-02T09:00:00Z"))
        if queue.claim(1, starving_before="2025-06-01T00:00:00Z") == [job(1, priority=9, enqueued_at="2025-01-01T00:00:00Z")]:  # fmt: skip
            return
    raise AssertionError("band 9 starved")


@pytest.mark.parametrize("head", [b"not json", b'{"id":777,"op":"upload"}', b'{"enqueued_at":5}', b"x" * 70000])
def test_a_head_of_unknown_age_hides_nobody(queue, head):
    queue.enqueue(*lines(*range(1, 101), enqueued_at="2025-11-02T09:00:00Z"))
    queue.redis.rpush(queue.key("ready:9"), head)
    queue.enqueue(job(500, priority=9))
    turn = queue.turn(want=8, starving_before="2025-11-02T08:30:00Z")
    assert b"upload:500" in turn.keys


# ---- retry


def test_due_retries_are_promoted_by_a_claim(queue):
    queue.enqueue(job(1, priority=4), where="retry:0")
    queue.enqueue(job(2), where=f"retry:{HOUR}")
    queue.enqueue(job(3, priority=2))
    turn = queue.turn(want=10)
    assert turn.keys == [b"upload:3", b"upload:1"]
    assert HOUR - 60_000 < turn.next_due_ms <= HOUR
    assert queue.retry() == [job(2)]


def test_promotion_is_bounded_and_rings_for_the_rest(queue):
    queue.enqueue(*lines(*range(1, 251)), where="retry:0")
    assert queue.bell() == 0
    turn = queue.turn(want=1)
    assert len(turn.claimed) == 1 and turn.next_due_ms == 0
    assert len(queue.retry()) == 150 and len(queue.ready()) == 99
    assert queue.bell() == BELL_MAX
    queue.check()


def test_settled_as_retry_waits_its_delay(queue):
    queue.enqueue(job(1))
    queue.claim(first_token=9)
    assert queue.settle(b"upload:1", 9, "retry", HOUR, job(1, attempt=2))
    assert queue.active() == [] and queue.retry() == [job(1, attempt=2)]
    seconds, micros = queue.redis.time()
    due = int(queue.place("upload:1")[6:])
    assert due - HOUR <= seconds * 1000 + micros // 1000 < due
    assert queue.claim(5) == []


def test_a_due_time_far_away_is_answered_as_a_day(queue):
    queue.redis.zadd(queue.key("retry"), {job(1): float("inf")})
    assert queue.turn(want=1).next_due_ms == 86_400_000
    queue.redis.flushall()


# ---- settle


def claimed(queue, line=None, token=7, worker="w1"):
    line = line or job(1)
    queue.enqueue(line)
    assert queue.claim(1, worker=worker, first_token=token) == [line]
    return key_of(line)


@pytest.mark.parametrize(
    "outcome,argument", [("ack", ""), ("retry", "0"), ("park", "paused"), ("bury", "why"), ("ready", "")]
)
@pytest.mark.parametrize("worker,token", [("w1", 8), ("w2", 7), ("w2", 8), ("w", 7)])
def test_settling_with_a_wrong_token_changes_nothing(queue, outcome, argument, worker, token):
    key = claimed(queue)
    before = queue.snapshot()
    assert not queue.settle(key, token, outcome, argument, job(1, attempt=2), worker=worker)
    assert queue.snapshot() == before


@pytest.mark.parametrize("where", ["ready", "retry:3600000", "parked:paused"])
@pytest.mark.parametrize("outcome,argument", [("ack", ""), ("retry", "0"), ("park", "order"), ("bury", "e"), ("ready", "")])
def test_settling_a_job_that_nobody_holds_changes_nothing(queue, where, outcome, argument):
    queue.enqueue(job(1), where=where)
    before = queue.snapshot()
    assert not queue.settle(b"upload:1", 1, outcome, argument, job(1, attempt=2))
    assert queue.snapshot() == before


def test_ack(queue):
    key = claimed(queue)
    assert queue.settle(key, 7, "ack")
    assert [k for k in queue.redis.keys("*") if not k.endswith(b":bell")] == []
    assert queue.settle(key, 7, "ack"), "a second time (the answer was lost) is no complaint"
    assert queue.enqueue(job(1)) == [1], "and the row may come again"


def test_park_unpark(queue):
    queue.enqueue(*lines(1, 2, 3, 4))
    queue.claim(4, first_token=1)
    for i in (1, 2, 3, 4):
        assert queue.settle(b"upload:%d" % i, i, "park", "artifact", job(i, attempt=2))
    assert queue.parked("artifact") == lines(1, 2, 3, 4, attempt=2)
    assert queue.redis.smembers(queue.key("parked")) == {b"artifact"}
    queue.check()
    assert queue.claim(4) == []
    queue.enqueue(job(9))
    assert queue.unpark("artifact", "upload:3", "upload:1", "upload:9", "upload:77") == 2
    assert queue.ready() == [job(3, attempt=2), job(1, attempt=2), job(9)], "to the head, in the order given"
    assert queue.unpark("order", "upload:2") == 0, "it is parked for another reason"
    queue.check()
    assert queue.unpark("artifact", count=1) == 1
    assert queue.ready()[0] == job(2, attempt=2)
    assert queue.unpark("artifact", count=10) == 1
    assert not queue.redis.exists(queue.key("parked"), queue.key("parked:artifact"))
    assert queue.unpark("artifact", count=10) == 0
    assert queue.bell() > 0


def test_unpark_by_count_keeps_order(queue):
    queue.enqueue(*lines(*range(1, 11)), where="parked:full:3")
    assert queue.unpark("full:3", count=4) == 4
    assert queue.ready() == lines(1, 2, 3, 4)
    assert queue.parked("full:3") == lines(5, 6, 7, 8, 9, 10)


def test_unpark_by_count_meets_lines_pushed_by_hand(queue):
    queue.enqueue(job(5, priority=1))
    queue.redis.rpush(queue.key("parked:paused"), b"nonsense", job(1), job(5, priority=1), job(2))
    assert queue.unpark("paused", count=10) == 2
    assert queue.ready() == lines(1, 2)
    assert [d["job"] for d in queue.dead()] == ["nonsense"]


def test_bury(queue):
    key = claimed(queue, job(1, priority=3))
    assert queue.settle(key, 7, "bury", "disk is full", job(1, priority=3))
    (dead,) = queue.dead()
    assert dead["error"] == "disk is full" and dead["dead_at_ms"] > 1_700_000_000_000
    assert {k: dead[k] for k in ("id", "op", "priority", "backup")} == {
        "id": 1, "op": "upload", "priority": 3, "backup": "b_1"}  # fmt: skip
    assert queue.place(key) is None
    assert queue.enqueue(job(1)) == [1]


def test_dead_list_is_capped_newest_first(queue):
    queue.enqueue(*lines(*range(1, 21)))
    queue.claim(20, first_token=1)
    for i in range(1, 21):
        assert queue.settle(b"upload:%d" % i, i, "bury", f"error {i}", job(i), dead_max=5)
    assert [d["error"] for d in queue.dead()] == [f"error {i}" for i in (20, 19, 18, 17, 16)]
    queue.redis.rpush(queue.key("ready:0"), *[b"bad"] * 30)
    assert queue.turn(want=30, dead_max=5).malformed == 30
    queue.check(dead_max=5)


def test_requeued_at_the_head_of_its_band(queue):
    queue.enqueue(job(1, priority=2), job(2, priority=2))
    queue.claim(1, first_token=3)
    assert queue.settle(b"upload:1", 3, "ready", "", job(1, priority=2))
    assert queue.ready(2) == [job(1, priority=2), job(2, priority=2)]


def test_settle_and_claim_in_one_turn(queue):
    queue.enqueue(*lines(*range(1, 6)))
    queue.claim(3, first_token=1)
    turn = queue.turn(want=3, first_token=10, settles=[
        Settle("upload:1", 1, "ack"),
        Settle("upload:2", 99, "ack"),
        Settle("upload:3", 3, "ready", "", job(3)),
        Settle("upload:8", 1, "bury", "never heard of", job(8)),
    ])  # fmt: skip
    assert turn.lost == [b"upload:2"]
    assert turn.keys == [b"upload:3", b"upload:4", b"upload:5"]
    assert queue.dead() == []
    queue.check()


# ---- after FLUSHALL


def test_outcomes_after_flushall(queue):
    queue.enqueue(*lines(1, 2, 3, 4, 5))
    queue.claim(5, first_token=1)
    queue.redis.flushall()
    turn = queue.turn(settles=[
        Settle("upload:1", 1, "ack"),
        Settle("upload:2", 2, "retry", HOUR, job(2, attempt=2)),
        Settle("upload:3", 3, "park", "paused", job(3)),
        Settle("upload:4", 4, "ready", "", job(4)),
        Settle("upload:5", 5, "bury", "x", job(5)),
    ])  # fmt: skip
    assert turn.lost == []
    assert queue.place("upload:1") is None and queue.place("upload:5") is None
    assert queue.retry() == [job(2, attempt=2)] and queue.parked("paused") == [job(3)] and queue.ready() == [job(4)]
    queue.check()


def test_ack_after_flushall_and_a_relay_leaves_the_new_job(queue):
    key = claimed(queue)
    queue.redis.flushall()
    queue.enqueue(job(1))
    before = queue.snapshot()
    assert not queue.settle(key, 7, "ack")
    assert queue.snapshot() == before


# ---- heartbeat, leave


def test_heartbeat_renews_the_lease(queue):
    key = claimed(queue)
    queue.redis.zadd(queue.key("lease"), {key: 5})
    assert queue.heartbeat((key, 7, job(1)), lease_ms=HOUR, details='"host":"h9","pid":12') == [1]
    assert queue.redis.zscore(queue.key("lease"), key) > 1_700_000_000_000
    assert queue.reap() == [0, 0]
    details = json.loads(queue.redis.hget(queue.key("workers"), "w1"))
    assert details["host"] == "h9" and details["pid"] == 12 and details["at_ms"] > 1_700_000_000_000


def test_heartbeat_registers_again_what_redis_lost(queue):
    key = claimed(queue)
    queue.redis.flushall()
    assert queue.heartbeat((key, 7, job(1))) == [2]
    queue.check()
    assert queue.enqueue(job(1)) == [0], "the reconciler makes no second one"
    assert queue.heartbeat((key, 7, job(1))) == [1]
    assert queue.settle(key, 7, "ack")


@pytest.mark.parametrize("state", ["ready", "retry", "parked", "other worker", "other token"])
def test_heartbeat_takes_nothing_from_others(queue, state):
    if state in ("other worker", "other token"):
        claimed(queue, token=8 if state == "other token" else 7, worker="w2" if state == "other worker" else "w1")
    else:
        queue.enqueue(job(1), where={"ready": "ready", "retry": f"retry:{HOUR}", "parked": "parked:order"}[state])
    before = queue.snapshot()
    assert queue.heartbeat(("upload:1", 7, job(1))) == [0]
    after = queue.snapshot()
    after.pop(queue.key("workers").encode())
    assert after == before


def test_leave(queue):
    queue.heartbeat(worker="w1")
    queue.heartbeat(worker="w2")
    assert queue.leave("w1") == 1
    assert queue.redis.hkeys(queue.key("workers")) == [b"w2"]


# ---- reap


def test_reap_gives_back_what_silent_workers_held(queue):
    queue.enqueue(*lines(1, 2, 3, priority=2))
    assert queue.claim(2, worker="dead", lease_ms=0) == lines(1, 2, priority=2)
    assert queue.claim(1, worker="alive") == lines(3, priority=2)
    assert queue.reap(max=1)[0] == 1
    queue.check()
    assert queue.reap()[0] == 1
    assert queue.reap()[0] == 0
    assert sorted(queue.ready(2)) == sorted(lines(1, 2, priority=2))
    assert queue.active("dead") == [] and queue.active("alive") == lines(3, priority=2)
    assert not queue.settle(b"upload:1", 1, "ack", worker="dead"), "too late"


def test_reap_goes_by_the_lease_not_by_the_worker(queue):
    claimed(queue, worker="w1")
    assert queue.reap(worker_ttl_ms=0) == [0, 0], "w1 never sent a heartbeat, but its lease runs"


def test_reap_forgets_workers(queue):
    queue.heartbeat(worker="old")
    queue.redis.hset(queue.key("workers"), "old", '{"at_ms":5}')
    queue.redis.hset(queue.key("workers"), "odd", "not json")
    queue.redis.hset(queue.key("workers"), "list", '[{"at_ms":{}}]')
    queue.heartbeat(worker="new")
    assert queue.reap() == [0, 3]
    assert queue.redis.hkeys(queue.key("workers")) == [b"new"]


# ---- several hosts


def test_handed_over_to_a_host(queue):
    queue.enqueue(*lines(1, 2, 3, 4))
    assert queue.claim(3, host="h1", first_token=1) == lines(1, 2, 3)
    for i in (1, 2, 3):
        assert queue.settle(b"upload:%d" % i, i, "park", "host:h2", job(i))
    assert queue.claim(10, host="h1", worker="w1") == lines(4), "only h2 takes them"
    queue.enqueue(job(5))
    assert queue.claim(2, host="h2", worker="w2") == lines(1, 2), "before all else"
    queue.check()
    assert queue.claim(10, host="h2", worker="w2") == lines(3, 5)
    assert not queue.redis.exists(queue.key("parked"))


def test_malformed_and_doubled_lines_in_the_list_of_a_host(queue):
    queue.enqueue(job(2))
    assert queue.claim(1, worker="w9") == lines(2)
    queue.redis.rpush(queue.key("parked:host:h1"), b"{", job(2), job(1))
    turn = queue.turn(want=5, host="h1")
    assert (turn.keys, turn.malformed, turn.duplicates) == ([b"upload:1"], 1, 1)


# ---- malformed and doubled lines

DEEP = b"[" * 500 + b"]" * 500
BAD = {
    "empty": b"",
    "blank": b"   ",
    "word": b"upload:1",
    "number": b"17",
    "string": b'"upload"',
    "null": b"null",
    "true": b"true",
    "array": b'["upload",1]',
    "array of jobs": b"[" + job(1) + b"]",
    "empty object": b"{}",
    "cut off": job(1)[:-10],
    "more behind": job(1) + b"x",
    "two in one line": job(1) + job(2),
    "no id": b'{"op":"upload"}',
    "no op": b'{"id":1}',
    "id null": b'{"id":null,"op":"upload"}',
    "id string": b'{"id":"1","op":"upload"}',
    "id array": b'{"id":[1],"op":"upload"}',
    "id object": b'{"id":{"id":1},"op":"upload"}',
    "id true": b'{"id":true,"op":"upload"}',
    "id zero": b'{"id":0,"op":"upload"}',
    "id negative": b'{"id":-1,"op":"upload"}',
    "id fraction": b'{"id":1.5,"op":"upload"}',
    "id beyond integer": b'{"id":2147483648,"op":"upload"}',
    "id huge": b'{"id":' + b"9" * 400 + b',"op":"upload"}',
    "id 1e999": b'{"id":1e999,"op":"upload"}',
    "id NaN": b'{"id":NaN,"op":"upload"}',
    "NaN beside a wrong id": b'{"id":"x","op":"upload","n":NaN}',
    "infinity beside a wrong op": b'{"id":1,"op":"drop","n":[-1e999]}',
    "op number": b'{"id":1,"op":1}',
    "op object": b'{"id":1,"op":{}}',
    "op unknown": b'{"id":1,"op":"destroy"}',
    "op upper case": b'{"id":1,"op":"UPLOAD"}',
    "op with a blank": b'{"id":1,"op":"upload 1"}',
    "op empty": b'{"id":1,"op":""}',
    "nested deeper than cjson reads": b'{"id":1,"op":"upload","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "nested without a job": b'{"x":' + DEEP + b"}",
    "bytes": bytes(range(256)),
    "NUL": b'{"id":1,"op":"upload"}\0',
    "NUL inside": b'{"id":1,"op":"upload","x":"a\0b"}',
    "UTF-16": job(1).decode().encode("utf-16"),
    "not UTF-8 and no job": b'{"id":0,"op":"\xff\xfe"}',
    "long": b'{"id":1,"op":"upload","x":"' + b"y" * 70000 + b'"}',
    "long and binary": b"\xff\x00" * 50000,
    "megabytes": b"[" + b"1," * 2_000_000,
}


@pytest.mark.parametrize("line", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("where", ["ready:0", "ready:9", "retry", "parked:host:h1"])
def test_a_malformed_line_goes_to_dead_and_stops_nobody(queue, where, line):
    queue.enqueue(*lines(101, 102))
    if where == "retry":
        queue.redis.zadd(queue.key("retry"), {line: 1})
    else:
        queue.redis.lpush(queue.key(where), line)
    turn = queue.turn(want=16)
    assert turn.keys == [b"upload:101", b"upload:102"] and turn.malformed == 1
    (dead,) = queue.dead()
    assert dead["error"].startswith("malformed job") and len(dead["error"]) > len("malformed job: ")
    if len(line) < 4096 and line.isascii():
        assert dead["job"] == line.decode(), "the line itself can be read there"
    queue.check()


def test_many_malformed_lines_among_jobs(queue):
    for i, line in enumerate(BAD.values()):
        queue.redis.rpush(queue.key("ready:0"), line)
        queue.enqueue(job(i + 1))
    got, malformed = [], 0
    while True:
        turn = queue.turn(want=7, first_token=len(got) + 1, dead_max=1000)
        got += turn.keys
        malformed += turn.malformed
        if not turn.claimed and not turn.malformed:
            break
    assert got == [b"upload:%d" % (i + 1) for i in range(len(BAD))]
    assert malformed == len(BAD) == len(queue.dead())


ODD = {
    "priority NaN": b'{"id":1,"op":"upload","priority":NaN}',
    "priority infinite": b'{"id":1,"op":"upload","priority":1e999}',
    "priority string": b'{"id":1,"op":"upload","priority":"high"}',
    "priority object": b'{"id":1,"op":"upload","priority":{}}',
    "priority fraction": b'{"id":1,"op":"upload","priority":2.7}',
    "doubled member": b'{"id":7,"id":1,"op":"upload"}',
    "not UTF-8 in a name": b'{"id":1,"op":"upload","backup":"\xff\xfe"}',
    "id in exponent form": b'{"id":1e0,"op":"upload"}',
    "blanks": b' { "id" : 1 , "op" : "upload" } ',
    "nested": b'{"id":1,"op":"upload","x":' + DEEP + b"}",
}


@pytest.mark.parametrize("line", ODD.values(), ids=ODD.keys())
def test_a_line_that_only_the_worker_refuses_makes_every_move(queue, line):
    """Its key comes with the claim, so that the worker can bury what its own parser refuses."""
    queue.redis.rpush(queue.key("ready:5"), line)
    turn = queue.turn(want=1, lease_ms=0)
    assert (turn.claimed, turn.keys) == ([line], [b"upload:1"])
    assert queue.reap()[0] == 1
    assert queue.claim(1, first_token=4) == [line], "back in a band that is read"
    assert queue.settle(b"upload:1", 4, "retry", 0, line)
    assert queue.claim(1, first_token=5) == [line]
    assert queue.settle(b"upload:1", 5, "park", "paused", line)
    assert queue.unpark("paused", "upload:1") == 1
    assert queue.claim(1, first_token=6) == [line]
    assert queue.settle(b"upload:1", 6, "bury", "refused: \xff".encode("latin-1"), line)
    (dead,) = queue.dead()
    assert dead["error"] == "refused: ?"
    assert [k for k in queue.redis.keys("*") if not k.endswith((b":bell", b":dead"))] == []


def test_names_in_utf8_survive_the_dead_list(queue):
    line = job(1, backup="größe_日本_😀").replace(rb"\u", rb"\u")
    line = json.dumps(json.loads(line), ensure_ascii=False).encode()
    key = claimed(queue, line)
    assert queue.settle(key, 7, "bury", "größe 日本 😀", line)
    (dead,) = queue.dead()
    assert (dead["backup"], dead["error"]) == ("größe_日本_😀", "größe 日本 😀")


def test_copies_pushed_by_hand_run_once(queue):
    queue.enqueue(*lines(1, 2, 3))
    queue.enqueue(job(4), where=f"retry:{HOUR}")
    queue.enqueue(job(5), where="parked:paused")
    queue.redis.rpush(queue.key("ready:0"), *lines(1, 2, 3, 4, 5))
    turn = queue.turn(want=20)
    assert turn.claimed == lines(1, 2, 3)
    assert turn.duplicates == 5
    assert queue.turn(want=20).claimed == []


def test_a_job_pushed_by_hand_is_a_job(queue):
    queue.redis.rpush(queue.key("ready:3"), job(1))
    assert queue.claim(1, first_token=2) == lines(1)
    queue.check()
    assert queue.settle(b"upload:1", 2, "ack")


def test_a_copy_in_the_retry_set_touches_neither_active_nor_parked(queue):
    queue.enqueue(job(1))
    queue.claim(1, first_token=3)
    queue.enqueue(job(2), where="parked:paused")
    queue.redis.zadd(queue.key("retry"), {job(1): 1, job(2): 1, job(3): 1, job(3, attempt=2): 2})
    turn = queue.turn(want=20, worker="w2")
    assert turn.claimed == lines(3)
    assert turn.duplicates == 3
    assert queue.place("upload:1") == "active:w1" and queue.place("upload:2") == "parked:paused"
    assert queue.settle(b"upload:1", 3, "ack")


def test_queues_do_not_mix(queue):
    other = Queue(queue.redis, "nas")
    queue.enqueue(job(1))
    other.enqueue(job(1), job(2))
    assert queue.claim(10) == lines(1)
    assert other.claim(10) == lines(1, 2)
    other.check()


def test_lists_show_plain_json(queue, server):
    queue.enqueue(job(301, priority=2))
    (line,) = server.client().lrange("bm:{default}:ready:2", 0, -1)
    assert json.loads(line)["id"] == 301


def test_a_worker_buries_what_only_its_own_parser_refuses(bm):
    """... once, and goes on with the jobs behind it."""
    base = bm.destination("disk")
    bm.command_database("greeting", "echo", "hello")
    bm.assign("greeting", "disk")
    queue = Queue(redis_module.Redis(unix_socket_path=bm.redis.socket))
    refused = [b'{"id":900001,"op":"upload","backup":"\xff\xfe"}', b'{"id":9,"id":900002,"op":"upload"}',
               b'{"id":900003,"op":"upload","priority":NaN}', b'{"id":900004,"op":"upload","x":"\\u0000"}',
               b'{"id":900005,"op":"upload","attempt":-1}', b"[" * 300]  # fmt: skip
    queue.redis.rpush(queue.key("ready:0"), *refused)
    backup = bm.run("greeting")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed"
    bm.assert_tidy(base)
    wait_for(lambda: not queue.redis.exists(queue.key("jobs"), queue.key("lease"), queue.key("ready:0")), 60, "an empty queue")
    dead = queue.dead()
    assert len(dead) == len(refused) and all(d["error"].startswith("malformed job: ") for d in dead), dead
    assert bm.ctl("queue", "list", "--state", "dead", json=True)
