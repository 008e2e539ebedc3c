"""The queue through the API: what stands where, who works on what, pauses, and the retry of what died."""

import json

import pytest

from harness.api import ApiServer, make_token
from harness.waiting import wait_for

Q = "bm:{default}:"


@pytest.fixture
def api(bm):
    return ApiServer(bm)


@pytest.fixture
def ask(bm, api):
    tokens = {role: make_token(bm, role) for role in ("viewer", "operator")}

    def ask(method, path, expect=200, role=None, headers=None):
        answer = api.ask(method, path, token=tokens[role or ("viewer" if method == "GET" else "operator")], headers=headers)
        assert answer.status == expect, answer
        return answer.json if expect == 200 else answer

    return ask


def line(id, **members):
    return json.dumps({"id": id, "op": "upload", "backup_id": 1, "backup": "b", "storage_type": "local", "storage_name": "d",
                       "priority": 0, "attempt": 1, "enqueued_at": "2025-11-02T08:00:00Z", **members})  # fmt: skip


def fill(redis):
    """Some jobs at every place, as the scripts leave them."""
    redis.rpush(Q + "ready:0", *[line(i) for i in range(1, 4)])
    redis.rpush(Q + "ready:7", line(4, priority=7))
    redis.zadd(Q + "retry", {line(5): 1764170000123, line(6): 1764170000124})
    redis.sadd(Q + "parked", "artifact", "full:3", "gone")
    redis.rpush(Q + "parked:artifact", line(7), line(8))
    redis.rpush(Q + "parked:full:3", line(9))
    redis.hset(Q + "jobs", "upload:10", f"active:w1 5 {line(10)}")
    redis.zadd(Q + "lease", {"upload:10": 1764170000125})
    redis.rpush(Q + "active:w1", line(10))
    redis.lpush(Q + "dead", "no job at all", line(11, error="disk full", dead_at_ms=1764170000126))


def test_depths(bm, ask):
    redis = bm.redis.client()
    assert ask("GET", "/api/queues") == {"queues": [ask("GET", "/api/queues/default")]}
    fill(redis)
    bm.ctl("destination", "add", "far", "--type", "local", "--base-path", bm.directory("far"), "--queue", "nas")
    default, nas = ask("GET", "/api/queues")["queues"]
    assert default == {
        "queue": "default", "ready": 4, "ready_by_priority": [3, 0, 0, 0, 0, 0, 0, 1, 0, 0], "active": 1, "retry": 2, "parked": 3,
        "parked_by_reason": {"artifact": 2, "full:3": 1}, "dead": 2, "workers": 0, "paused_at": None,
    }  # fmt: skip
    assert nas["queue"] == "nas" and nas["ready"] == 0
    assert ask("GET", "/api/queues/nas") == nas
    assert bm.ctl("queue", "stats", json=True) == [default, nas], "backupctl says the same"


def test_names(ask):
    for name in ("nowhere", "default%20", "a%2Fb", "x" * 65, "%7Bdefault%7D", "..", "d%00"):
        for method, rest in (("GET", ""), ("GET", "/jobs"), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/requeue-dead")):
            if (name, rest) == ("..", ""):
                continue
            answer = ask(method, f"/api/queues/{name}{rest}", expect=400 if name in ("a%2Fb", "..", "d%00") else 404)
            assert answer.headers["Content-Type"] == "application/problem+json"


def test_jobs(bm, ask):
    fill(bm.redis.client())
    jobs = ask("GET", "/api/queues/default/jobs")["jobs"]
    states = [(job["state"], job["id"]) for job in jobs]
    assert states == [("ready", 1), ("ready", 2), ("ready", 3), ("ready", 4), ("active", 10), ("retry", 5), ("retry", 6), ("parked", 7),
                      ("parked", 8), ("parked", 9), ("dead", 11), ("dead", None)]  # fmt: skip
    by_id = {job["id"]: job for job in jobs}
    assert by_id[4]["priority"] == 7 and by_id[4]["queue"] == "default" and by_id[4]["enqueued_at"] == "2025-11-02T08:00:00Z"
    assert (by_id[10]["worker"], by_id[10]["lease_until"]) == ("w1", "2025-11-26T15:13:20.125Z")
    assert by_id[5]["due_at"] == "2025-11-26T15:13:20.123Z" and by_id[9]["why"] == "full:3"
    assert (by_id[11]["error"], by_id[11]["dead_at"]) == ("disk full", "2025-11-26T15:13:20.126Z")
    assert by_id[None]["malformed"] == "no job at all"
    assert len({frozenset(job) for job in jobs}) == 1, "all have the same members"
    assert [job["id"] for job in ask("GET", "/api/queues/default/jobs?state=parked&limit=2")["jobs"]] == [7, 8]
    assert [job["id"] for job in ask("GET", "/api/queues/default/jobs?state=ready&limit=1")["jobs"]] == [1]
    told = bm.ctl("queue", "list", json=True)
    assert [(job["state"], job.get("id")) for job in told] == states
    for query, word in (("state=nonsense", "state"), ("limit=0", "limit"), ("limit=1001", "limit"), ("x=1", "x")):
        assert word in str(ask("GET", f"/api/queues/default/jobs?{query}", expect=400).json["errors"])


def test_bounded_whatever_the_lengths(bm, ask):
    """Lists of many thousands, and entries that are no jobs: an answer of at most that many, and none of them whole."""
    redis = bm.redis.client()
    with redis.pipeline() as pipe:
        for first in range(1, 50001, 1000):
            pipe.rpush(Q + "ready:0", *[line(i) for i in range(first, first + 1000)])
        pipe.rpush(Q + "dead", b"\xff\xfe\x00", b"x" * 1000000, "[1]", "{}", '{"id": "x", "op": 1, "error": {"a": 1}}')
        pipe.execute()
    assert ask("GET", "/api/queues/default")["ready"] == 50000
    assert len(ask("GET", "/api/queues/default/jobs?state=ready&limit=1000")["jobs"]) == 1000
    dead = ask("GET", "/api/queues/default/jobs?state=dead")["jobs"]
    assert len(dead) == 5 and all(len(str(job)) < 5000 for job in dead)
    assert dead[0]["malformed"] == "(not UTF-8)" and len(dead[1]["malformed"]) == 4096
    assert dead[4]["id"] is None and dead[4]["error"] is None


def test_workers(bm, ask):
    assert ask("GET", "/api/workers") == {"workers": []}
    bm.destination("d1")
    gate = bm.directory("gate")
    bm.ctl("database", "add", "held", "--type", "command", "--", "sh", "-c", f"echo x; while [ ! -e {gate}/open ]; do sleep 0.05; done")
    bm.assign("held", "d1")
    worker = bm.worker()
    backup_id = bm.run("held")
    row = bm.rows(backup_id)[0]

    def holding():
        workers = ask("GET", "/api/workers")["workers"]
        return workers and workers[0]["running"] and workers[0]

    held = wait_for(holding)
    assert (held["queue"], held["pid"] > 0, held["concurrency"] > 0) == ("default", True, True) and held["host"] and held["worker"]
    redis = bm.redis.client()
    redis.rpush(f"{Q}active:{held['worker']}", line(row["id"]), line(2147483647), "nonsense")
    jobs = ask("GET", "/api/workers")["workers"][0]["jobs"]
    job = next(j for j in jobs if j["id"] == row["id"])
    assert (job["op"], job["backup_id"], job["database"], job["storage_name"], job["storage_type"]) == ("upload", backup_id, "held", "d1", "local")
    assert {"bytes_done", "since", "status", "attempts", "artifact_size", "destination_id"} <= set(job)
    unknown = next(j for j in jobs if j["id"] == 2147483647)
    assert unknown["backup_id"] is None and set(unknown) == set(job)
    redis.lrem(f"{Q}active:{held['worker']}", 0, line(row["id"])), redis.lrem(f"{Q}active:{held['worker']}", 0, line(2147483647))
    redis.lrem(f"{Q}active:{held['worker']}", 0, "nonsense")
    open(f"{gate}/open", "w").close()
    assert bm.wait_ended(backup_id)["status"] == "completed"
    assert worker.running


def test_pause_and_resume(bm, api, ask):
    bm.destination("d1")
    bm.file_database("shop", "/etc/hostname")
    bm.assign("shop", "d1")
    ask("POST", "/api/queues/default/pause", expect=403, role="viewer")
    ask("POST", "/api/queues/default/resume", expect=403, role="viewer")
    paused = ask("POST", "/api/queues/default/pause")
    assert paused["queue"] == "default" and paused["paused_at"]
    assert ask("POST", "/api/queues/default/pause") == paused, "again changes nothing"
    assert ask("GET", "/api/queues/default")["paused_at"] == paused["paused_at"]
    bm.worker()
    backup_id = bm.run("shop")
    wait_for(lambda: ask("GET", "/api/queues/default")["parked_by_reason"].get("paused"))
    assert ask("POST", "/api/queues/default/resume") == {"queue": "default", "paused_at": None}
    assert ask("POST", "/api/queues/default/resume") == {"queue": "default", "paused_at": None}
    assert bm.wait_ended(backup_id)["status"] == "completed"
    log = bm.query("SELECT action, object_name, program, token_name IS NOT NULL AS by FROM audit_log WHERE object_kind = 'queue' ORDER BY id")
    assert [(r["action"], r["object_name"], r["program"], r["by"]) for r in log] == [
        ("create", "default", "backup-api", True), ("update", "default", "backup-api", True)]  # fmt: skip


def test_requeue_dead(bm, api, ask):
    bm.destination("d1")
    bm.command_database("broken", "false")
    bm.assign("broken", "d1")
    bm.worker()
    backup_id = bm.run("broken")
    assert bm.wait_ended(backup_id)["status"] == "failed"
    redis = bm.redis.client()
    row = bm.rows(backup_id)[0]
    wait_for(lambda: redis.llen(Q + "dead") == 1)
    redis.delete(Q + "dead")
    redis.lpush(Q + "dead", "no job", line(row["id"], error="dump failed"), line(2147483647, error="row gone"))
    ask("POST", "/api/queues/default/requeue-dead", expect=403, role="viewer")
    bm.ctl("database", "update", "broken", "--", "echo", "fine")
    assert ask("POST", "/api/queues/default/requeue-dead") == {"queue": "default", "requeued": 1, "forgotten": 2, "malformed": 1, "more": False}
    assert bm.wait_ended(backup_id)["status"] == "completed"
    bm.assert_whole(bm.rows(backup_id)[0])
    assert redis.lrange(Q + "dead", 0, -1) == ["no job"]
    entry = bm.query("SELECT object_name, token_name, program FROM audit_log WHERE action = 'queue_requeue_dead'")
    assert len(entry) == 1 and entry[0]["object_name"] == "default" and entry[0]["token_name"]
    redis.delete(Q + "dead")
    redis.lpush(Q + "dead", *["nonsense %d" % i for i in range(900)], *[line(i) for i in range(2147480000, 2147480700)])
    report = ask("POST", "/api/queues/default/requeue-dead")
    assert (report["requeued"], report["forgotten"], report["malformed"]) == (0, 700, 900) and redis.llen(Q + "dead") == 900


def test_without_redis(bm, api, ask):
    """Redis is away: what needs it says so; what PostgreSQL knows is answered, and a pause holds."""
    ask("GET", "/api/queues")
    bm.redis.stop()
    try:
        for path in ("/api/queues", "/api/queues/default", "/api/queues/default/jobs", "/api/workers"):
            assert "Redis" in ask("GET", path, expect=503).json["detail"]
        assert "Redis" in ask("POST", "/api/queues/default/requeue-dead", expect=503).json["detail"]
        ask("GET", "/api/queues/nowhere", expect=404)
        assert ask("POST", "/api/queues/default/pause")["paused_at"]
        assert bm.value("SELECT paused_at IS NOT NULL FROM queues")
        assert ask("GET", "/api/databases")
    finally:
        bm.redis.start()
    wait_for(lambda: api.ask("GET", "/api/queues", token=make_token(bm, "viewer")).status == 200)
