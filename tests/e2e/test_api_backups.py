"""/api/backups: what is there, filtered and in pages; runs, retries and cancels with real workers; keys of requests that
come twice."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import re

import pytest

from harness.api import ApiServer, make_token
from harness.backup_rows import add_backup, add_copy, add_database, add_schedule, insert

COPY = {
    "id", "storage_type", "storage_name", "file_path", "base_path", "file_size", "checksum", "status", "priority",
    "upload_duration_seconds", "storage_config", "destination_id", "origin", "queue", "error_message", "error_code",
    "attempts", "bytes_done", "next_attempt_at", "upload_started_at", "upload_completed_at", "verified_at",
    "verification_result", "created_at", "updated_at",
}  # fmt: skip


class Backups:
    """The server, and somebody who may run backups."""

    def __init__(self, bm, **env):
        self.server = ApiServer(bm, **env)
        self.process = self.server.process
        self.token = make_token(bm, "operator", name="nightly")

    def ask(self, method, path, body=None, expect=200, token=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.server.ask(method, path, body, token or self.token, headers)
        assert answer.status == expect, answer
        if expect >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json" and answer.json["detail"]
        return answer

    def get(self, path, expect=200, **headers):
        return self.ask("GET", path, None, expect, **headers).json

    def post(self, path, body=None, expect=200, **headers):
        return self.ask("POST", path, {} if body is None else body, expect, **headers).json

    def run(self, database, expect=201, **headers):
        return self.post("/api/backups", {"database_id": database}, expect, **headers)

    def ids(self, query=""):
        return [b["id"] for b in self.get(f"/api/backups{query}")["backups"]]


@pytest.fixture
def api(bm):
    return Backups(bm)


@pytest.fixture
def notes(bm):
    """A database with two disks: its id."""
    bm.command_database("notes", "echo", "hello")
    for name, priority in (("near", 0), ("far", 1)):
        bm.destination(name, "--priority", priority)
        bm.assign("notes", name)
    return bm.value("SELECT id FROM databases WHERE name = 'notes'")


def acts(bm):
    return [(r["action"], r["object_id"], r["token_name"], r["program"])
            for r in bm.query("SELECT * FROM audit_log WHERE object_kind = 'backup' ORDER BY id")]  # fmt: skip


# -- run


def test_run(bm, api, notes, wait_for):
    answer = api.ask("POST", "/api/backups", {"database_id": notes}, 201)
    made = answer.json
    assert answer.headers["Location"] == f"/api/backups/{made['id']}"
    assert (made["database_id"], made["database"], made["status"], made["ordering"]) == (notes, "notes", "pending", "parallel")
    assert re.fullmatch(r"notes_\d{8}_\d{6}", made["name"])
    assert [(c["storage_name"], c["status"], c["priority"]) for c in made["destinations"]] == [("near", "pending", 0), ("far", "pending", 1)]
    # queued by this program alone: there is no worker yet
    redis = bm.redis.client()
    wait_for(lambda: redis.llen("bm:{default}:ready:0") == 1 and redis.llen("bm:{default}:ready:1") == 1)
    assert acts(bm) == [("backup_run", made["id"], "nightly", "backup-api")]

    bm.worker()
    bm.wait_ended(made["id"])
    shown = api.get(answer.headers["Location"])
    assert api.get("/api/backups")["backups"] == [shown]
    assert shown["status"] == "completed" and shown["completed_at"] and shown["error_message"] is None
    for copy, row in zip(shown["destinations"], bm.rows(made["id"])):
        bm.assert_whole(row)
        assert COPY < set(copy) and "file_info" not in copy
        assert (copy["status"], copy["checksum"], copy["file_size"], copy["attempts"]) == ("completed", row["checksum"], row["file_size"], 1)
    first = shown["destinations"][0]
    assert [shown[k] for k in ("storage_type", "file_path", "file_size", "checksum")] == \
        [first[k] for k in ("storage_type", "file_path", "file_size", "checksum")]  # fmt: skip
    bm.fsck()


def test_sequential(bm, api, notes):
    assert api.post("/api/backups", {"database_id": notes, "ordering": "sequential"}, 201)["ordering"] == "sequential"


def test_recorded_as_failed(bm, api):
    bm.command_database("lonely", "echo", "hello")
    made = api.run(bm.value("SELECT id FROM databases"))
    assert made["status"] == "failed" and made["destinations"] == [] and made["completed_at"]
    assert "no destination assigned to lonely" in made["error_message"]
    assert acts(bm) == [("backup_run", made["id"], "nightly", "backup-api")]


def test_run_refused(bm, api, notes):
    for body in ({}, {"database_id": "1"}, {"database_id": 0}, {"database_id": 1.5}, {"database_id": None}, {"database_id": 2**31},
                 {"database_id": notes, "ordering": "random"}, {"database_id": notes, "database": "notes"}):  # fmt: skip
        assert api.post("/api/backups", body, 422)["errors"]
    errors = api.post("/api/backups", {"database_id": 4711}, 422)["errors"]
    assert errors == [{"field": "database_id", "message": "there is no database 4711"}]
    api.ask("POST", "/api/backups", b"[1]", 400)
    api.ask("POST", "/api/backups", {"database_id": notes}, 403, make_token(bm, "viewer"))
    assert bm.value("SELECT count(*) FROM backups") == 0 and acts(bm) == []


@pytest.mark.parametrize("table, status", [("databases", 422), ("destinations", 201)])
def test_removed_meanwhile(bm, api, notes, wait_for, table, status):
    """The database, or one of the destinations, goes while a backup of it is being made."""
    remover = bm.postgres.connect(bm.database)
    remover.autocommit = False
    with remover.cursor() as cursor, concurrent.futures.ThreadPoolExecutor(1) as pool:
        cursor.execute(f"DELETE FROM {table} WHERE id = (SELECT min(id) FROM {table})")
        asked = pool.submit(api.server.ask, "POST", "/api/backups", {"database_id": notes}, api.token)
        wait_for(lambda: bm.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"))
        remover.commit()
        answer = asked.result()
    remover.close()
    assert answer.status == status, answer
    if status == 201:
        assert len(answer.json["destinations"]) == 1 and bm.value("SELECT count(*) FROM backups") == 1
    else:
        assert [e["field"] for e in answer.json["errors"]] == ["database_id"]


def test_without_redis(bm, notes, wait_for):
    """Redis is away: the backup is recorded all the same, and made as soon as somebody reaches Redis."""
    api = Backups(bm, BM_REDIS_URL="redis://127.0.0.1:1/0")
    made = api.run(notes)
    api.process.wait_log("the rows are recorded")
    assert bm.value("SELECT count(*) FROM backup_destinations WHERE enqueued_at IS NULL") == 2
    bm.worker()
    assert bm.wait_ended(made["id"])["status"] == "completed"


def test_many_runs_at_once(bm, api, notes):
    bm.worker()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: api.run(notes)["id"], range(40)))
    assert len(set(made)) == 40
    bm.wait_ended(*made)
    assert {r["status"] for r in bm.query("SELECT status FROM backup_destinations")} == {"completed"}
    assert bm.value("SELECT count(DISTINCT name) FROM backups") == 40
    bm.fsck()


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_ended_in_the_middle(bm, api, notes, wait_for, end):
    """What was answered is made, also when the server ends before it has queued it."""
    made = []

    def run_until_it_ends():
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
            while True:
                made.append(api.run(notes)["id"])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        running = [pool.submit(run_until_it_ends) for _ in range(4)]
        wait_for(lambda: len(made) > 20)
        getattr(api.process, end)()
        for each in running:
            each.result()
    bm.worker()
    bm.wait_ended(*made)
    found = bm.query("SELECT id, status FROM backups")
    assert {r["id"] for r in found} >= set(made) and len(set(made)) == len(made)
    bm.wait_ended(*(r["id"] for r in found))  # those, too, whose answer was lost
    assert bm.value("SELECT count(*) FROM backups WHERE status <> 'completed'") == 0
    bm.fsck()


def test_another_program_looks_through_the_queue(bm, notes, wait_for):
    """A resume while somebody else holds the lock of maintenance: the parked jobs go on as soon as it is free, and runs
    are queued meanwhile."""
    api = Backups(bm)
    admin = make_token(bm, "operator")
    bm.worker(BM_RECONCILE_SECONDS="86400")
    wait_for(lambda: bm.value("SELECT count(*) FROM maintenance WHERE name = 'reconcile'"))  # its only one for today
    assert api.ask("POST", "/api/queues/default/pause", None, 200, admin).json["paused_at"]
    made = api.run(notes)
    redis = bm.redis.client()
    wait_for(lambda: redis.llen("bm:{default}:parked:paused") == 2)
    wait_for(lambda: bm.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0)
    other = bm.postgres.connect(bm.database)
    other.autocommit = False
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(7305171)")  # common/store/unfinished.c
        assert api.ask("POST", "/api/queues/default/resume", None, 200, admin).json["paused_at"] is None
        later = api.run(notes)
        assert bm.wait_ended(later["id"])["status"] == "completed"
        assert bm.backup(made["id"])["status"] == "pending"
        other.commit()
    other.close()
    assert bm.wait_ended(made["id"], bound=60)["status"] == "completed"


# -- keys of requests


def test_key(bm, api, notes):
    made = api.run(notes, Idempotency_Key="k 1".replace(" ", "-"))
    assert api.run(notes, Idempotency_Key="k-1")["id"] == made["id"]
    assert api.post("/api/backups", {"ordering": "parallel", "database_id": notes}, 201, Idempotency_Key="k-1")["id"] == made["id"]
    assert api.run(notes, Idempotency_Key="k-2")["id"] != made["id"]
    assert api.run(notes)["id"] not in (made["id"], None)
    for body in ({"database_id": notes + 1}, {"database_id": notes, "ordering": "sequential"}):
        assert "another request" in api.post("/api/backups", body, 409, Idempotency_Key="k-1")["detail"]
    for bad in ("", "x" * 256, "a b", "\xe4"):
        api.run(notes, 400, Idempotency_Key=bad)
    assert bm.value("SELECT count(*) FROM backups") == 3 == len(acts(bm))

    other = api.ask("POST", "/api/backups", {"database_id": notes}, 201, make_token(bm, "operator"), Idempotency_Key="k-1").json
    assert other["id"] != made["id"]  # somebody else's key
    bm.query("UPDATE idempotency_keys SET created_at = now() - interval '23 hours'")
    assert api.run(notes, Idempotency_Key="k-1")["id"] == made["id"]
    bm.query("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    again = api.run(notes, Idempotency_Key="k-1")["id"]
    assert again != made["id"] and bm.value("SELECT count(*) FROM idempotency_keys") == 1  # the others are forgotten
    bm.query("DELETE FROM backups WHERE id = %s", again)
    assert "deleted" in api.run(notes, 409, Idempotency_Key="k-1")["detail"]


def test_a_key_without_a_backup(bm, api, notes):
    """What was refused leaves no key behind."""
    api.run(4711, 422, Idempotency_Key="k")
    assert bm.value("SELECT count(*) FROM idempotency_keys") == 0
    api.run(notes, Idempotency_Key="k")


def test_one_key_at_once_at_two_servers(bm, notes):
    one, two = Backups(bm), ApiServer(bm)
    servers = [one.server, two]

    def ask(i):
        return servers[i % 2].ask("POST", "/api/backups", {"database_id": notes}, one.token, {"Idempotency-Key": f"key-{i // 12}"})

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(48)))
    assert {a.status for a in answers} == {201}, answers
    for k in range(4):
        assert len({a.json["id"] for a in answers[12 * k : 12 * k + 12]}) == 1
    assert bm.value("SELECT count(*) FROM backups") == 4 == len(acts(bm))


# -- retry, cancel


def test_retry(bm, api, notes):
    far = bm.value("SELECT base_path FROM destinations WHERE name = 'far'")
    os.rename(far, far + ".away")
    worker = bm.worker(BM_MAX_ATTEMPTS="1")
    made = api.run(notes)
    path = f"/api/backups/{made['id']}"
    assert bm.wait_ended(made["id"])["status"] == "partial"
    near_copy, far_copy = api.get(path)["destinations"]
    assert far_copy["status"] == "failed" and far_copy["error_message"]
    assert api.ids("?status=partial&copy_status=failed") == [made["id"]] and api.ids("?status=completed") == []

    assert "has not failed" in api.post(f"{path}/retry", {"destination": "near"}, 409)["detail"]
    errors = api.post(f"{path}/retry", {"destination": "nas"}, 422)["errors"]
    assert errors[0]["field"] == "destination" and "nas" in errors[0]["message"]
    for body in ({"destination": ""}, {"destination": 1}, {"destination": None}, {"deep": True}):
        api.post(f"{path}/retry", body, 422)
    os.rename(far + ".away", far)
    done = api.post(f"{path}/retry", {"destination": "far"})
    assert done["changed"] == [{"id": far_copy["id"], "queue": "default", "storage_name": "far"}]
    assert [c["attempts"] for c in done["backup"]["destinations"] if c["id"] == near_copy["id"]] == [1]
    assert done["backup"]["status"] == "in_progress"
    assert bm.wait_ended(made["id"])["status"] == "completed"
    assert "nothing to retry" in api.ask("POST", f"{path}/retry", None, 409).json["detail"]
    assert acts(bm)[1:] == [("backup_retry", made["id"], "nightly", "backup-api")]
    changes = bm.value("SELECT changes FROM audit_log WHERE action = 'backup_retry'")
    assert changes == {"copies": [far_copy["id"]]}
    worker.terminate()
    bm.fsck()


def test_retry_by_id_and_of_all(bm, api, notes):
    made = api.run(notes)
    path = f"/api/backups/{made['id']}"
    bm.query("UPDATE backup_destinations SET status = 'failed', attempts = 5, enqueued_at = now()")
    bm.query("UPDATE backups SET status = 'failed'")
    near = made["destinations"][0]
    done = api.post(f"{path}/retry", {"destination": str(near["destination_id"])})
    assert [c["id"] for c in done["changed"]] == [near["id"]]
    done = api.ask("POST", f"{path}/retry").json  # no body at all
    assert [c["id"] for c in done["changed"]] == [made["destinations"][1]["id"]]
    assert [(c["status"], c["attempts"]) for c in done["backup"]["destinations"]] == [("pending", 0)] * 2
    bm.worker()
    assert bm.wait_ended(made["id"])["status"] == "completed"


def test_cancel(bm, api, notes):
    made = api.run(notes)
    path = f"/api/backups/{made['id']}"
    done = api.post(f"{path}/cancel")
    assert [c["storage_name"] for c in done["changed"]] == ["near", "far"]
    assert done["backup"]["status"] == "failed"
    assert {(c["status"], c["error_code"]) for c in done["backup"]["destinations"]} == {("failed", "cancelled")}
    assert "nothing to cancel" in api.ask("POST", f"{path}/cancel", None, 409).json["detail"]
    api.post(f"{path}/cancel", {"force": True}, 422)
    assert acts(bm)[1:] == [("backup_cancel", made["id"], "nightly", "backup-api")]
    api.post(f"{path}/retry")  # a change of mind
    bm.worker()
    assert bm.wait_ended(made["id"])["status"] == "completed"
    bm.fsck()


def test_cancel_while_it_is_dumped(bm, api, notes, wait_for):
    started = os.path.join(bm.tmp, "started")
    bm.command_database("slow", "sh", "-c", f"touch {started}; exec sleep 600")
    bm.assign("slow", "near")
    bm.worker(BM_LEASE_SECONDS="3")
    made = api.run(bm.value("SELECT id FROM databases WHERE name = 'slow'"))
    wait_for(lambda: os.path.exists(started))
    assert api.post(f"/api/backups/{made['id']}/cancel")["backup"]["status"] == "failed"
    # the worker is free again: its only way to do this one is to have let go of the other
    after = api.run(notes)
    assert bm.wait_ended(after["id"])["status"] == "completed"
    bm.fsck()


def test_history_and_what_is_not_there(bm, api):
    database = add_database(bm)
    old = add_backup(bm, database, "old", "failed", origin="migrated", file_path="", file_size=7)
    add_copy(bm, old, "local", "x", "failed", origin="migrated", file_size=8)
    shown = api.get(f"/api/backups/{old}")
    assert [shown[k] for k in ("storage_type", "file_path", "file_size", "checksum")] == ["local", "x", 7, None]
    for act in ("retry", "cancel"):
        assert "older system" in api.post(f"/api/backups/{old}/{act}", None, 409)["detail"]
        assert "no backup 4711" in api.post(f"/api/backups/4711/{act}", None, 404)["detail"]
    assert "no backup 4711" in api.get("/api/backups/4711", 404)["detail"]
    api.get(f"/api/backups/{old}?limit=1", 400)
    assert acts(bm) == []


def test_the_command_line_is_logged_too(bm, notes):
    backup = bm.run("notes")
    bm.ctl("backup", "cancel", backup)
    bm.ctl("backup", "retry", backup)
    assert acts(bm) == [(act, backup, None, "backupctl") for act in ("backup_run", "backup_cancel", "backup_retry")]


# -- lists


@pytest.fixture
def rows(bm):
    """Backups of two databases, with copies at several kinds of places: {name: id}."""
    shop, blog = add_database(bm, "shop"), add_database(bm, "blog")
    nightly = add_schedule(bm, shop, "nightly")
    nas = insert(bm, "destinations", name="nas", storage_type="local", base_path="/x")
    found = {"shop": shop, "blog": blog, "nightly": nightly, "nas": nas}
    for i, (name, database, status, columns, copies) in enumerate((
        ("Shop_1", shop, "completed", {"schedule_id": nightly}, [("local", "completed", nas), ("s3", "completed", None)]),
        ("Shop_2", shop, "partial", {"schedule_id": nightly}, [("local", "completed", nas), ("s3", "failed", None)]),
        ("Shop_3", shop, "failed", {}, [("local", "failed", nas)]),
        ("blog_1", blog, "pending", {}, [("azure_blob", "pending", None)]),
        ("blog_2", blog, "in_progress", {}, [("azure_blob", "uploading", None), ("local", "pending", nas)]),
        ("blog_3", blog, "completed", {"origin": "migrated"}, []),
    )):  # fmt: skip
        found[name] = add_backup(bm, database, name, status, created_at=f"2025-11-0{i + 1}T08:00:00Z", **columns)
        for priority, (type, copy_status, place) in enumerate(copies):
            add_copy(bm, found[name], type, f"{name}/{priority}", copy_status, destination_id=place, priority=priority)
    return found


@pytest.mark.parametrize("query,wanted", [
    ("", "blog_3 blog_2 blog_1 Shop_3 Shop_2 Shop_1"),
    ("database_id={shop}", "Shop_3 Shop_2 Shop_1"),
    ("database_id=4711", ""),
    ("schedule_id={nightly}", "Shop_2 Shop_1"),
    ("schedule_id={nightly}&database_id={blog}", ""),
    ("schedule_id={nightly}&database_id={shop}&status=partial", "Shop_2"),
    ("status=completed", "blog_3 Shop_1"),
    ("status=pending", "blog_1"),
    ("status=in_progress", "blog_2"),
    ("status=failed", "Shop_3"),
    ("origin=migrated", "blog_3"),
    ("origin=native&database_id={blog}", "blog_2 blog_1"),
    ("q=shop", "Shop_3 Shop_2 Shop_1"),
    ("q=OG_2", "blog_2"),
    ("q=%25", ""),
    ("destination_id={nas}", "blog_2 Shop_3 Shop_2 Shop_1"),
    ("storage_type=s3", "Shop_2 Shop_1"),
    ("storage_type=gcs", ""),
    ("copy_status=failed", "Shop_3 Shop_2"),
    ("copy_status=failed&storage_type=local", "Shop_3"),  # of one and the same copy
    ("copy_status=failed&destination_id={nas}&database_id={shop}", "Shop_3"),
    ("created_after=2025-11-04T08:00:00Z", "blog_3 blog_2 blog_1"),
    ("created_before=2025-11-04T08:00:00Z", "Shop_3 Shop_2 Shop_1"),
    ("created_after=2025-11-02T09:00:00%2B01:00&created_before=2025-11-04T07:59:59.999Z", "Shop_3 Shop_2"),
    ("created_before=1970-01-01T00:00:00Z", ""),
    ("database_id={shop}&before={Shop_3}", "Shop_2 Shop_1"),
    ("schedule_id={nightly}&before={Shop_2}", "Shop_1"),
    ("before={Shop_3}&status=completed", "Shop_1"),
])  # fmt: skip
def test_filters(api, rows, query, wanted):
    assert api.ids(f"?{query.format(**rows)}" if query else "") == [rows[name] for name in wanted.split()]


def test_bad_filters(api, rows):
    for query, field in (("limit=0", "limit"), ("limit=201", "limit"), ("before=0", "before"), ("before=x", "before"), ("database_id=x", "database_id"),
                         ("schedule_id=0", "schedule_id"), ("destination_id=2147483648", "destination_id"), ("status=COMPLETED", "status"),
                         ("status=completed,failed", "status"), ("copy_status=partial", "copy_status"), ("storage_type=ftp", "storage_type"),
                         ("origin=x", "origin"), ("q=", "q"), ("q=" + "x" * 201, "q"), ("created_after=yesterday", "created_after"),
                         ("created_before=2025-11-02", "created_before"), ("after=1", "after"), ("status=failed&status=failed", "status")):  # fmt: skip
        assert field in {e["field"] for e in api.get(f"/api/backups?{query}", 400)["errors"]}, query


def test_pages(bm, api):
    shop, blog = add_database(bm, "shop"), add_database(bm, "blog")
    wanted = [add_backup(bm, (shop, blog)[i % 2], f"b{i}") for i in range(11)][::-1]
    for query, all_of_it in (("", wanted), (f"&database_id={shop}", wanted[::2])):
        seen, before = [], ""
        while before is not None:
            page = api.get(f"/api/backups?limit=3{query}{before and f'&before={before}'}")
            assert len(page["backups"]) <= 3
            seen += [b["id"] for b in page["backups"]]
            before = page["next_before"]
            assert before in (None, seen[-1])
        assert seen == all_of_it
    assert api.get("/api/backups?limit=11")["next_before"] is None


def test_etag(bm, api, rows):
    for path in ("/api/backups", f"/api/backups/{rows['Shop_1']}"):
        tag = api.ask("GET", path).headers["ETag"]
        api.ask("GET", path, None, 304, If_None_Match=tag)
        bm.query("UPDATE backup_destinations SET bytes_done = coalesce(bytes_done, 0) + 1")
        api.ask("GET", path, None, 200, If_None_Match=tag)


def test_the_command_line_lists_the_same(bm, api, rows):
    listed = bm.ctl("backup", "list", json=True)
    assert [b["id"] for b in listed] == api.ids()
    assert [b["name"] for b in bm.ctl("backup", "list", "--database", "shop", "--status", "failed", json=True)] == ["Shop_3"]
    assert bm.ctl("backup", "show", rows["Shop_2"], json=True)["name"] == "Shop_2"
    assert bm.ctl("backup", "show", "Shop_2", json=True)["id"] == rows["Shop_2"]


def test_no_secret_leaves(bm, api):
    database = add_database(bm)
    backup = add_backup(bm, database, "b", "failed")
    for i, config in enumerate(('{"bucket": "b", "secret_access_key": "LEAK1"}', '{"password": "LEAK2"', '["LEAK3"]')):
        add_copy(bm, backup, "s3", f"k{i}", "failed", storage_config=config, priority=i)
    shown = api.get(f"/api/backups/{backup}")
    text = json.dumps([shown, api.get("/api/backups"), api.post(f"/api/backups/{backup}/retry"), api.post(f"/api/backups/{backup}/cancel")])
    for secret in ("LEAK", "fernet-secret", "option-secret", "HIDDEN_REFERENCE"):
        assert secret not in text
    assert json.loads(shown["destinations"][0]["storage_config"]) == {"bucket": "b", "secret_access_key": "***"}


# -- the system at a glance


def test_status(bm, api, notes, wait_for):
    empty = api.get("/api/status")
    assert empty["backups"] == {"total": 0, "pending": 0, "in_progress": 0, "completed": 0, "partial": 0, "failed": 0, "last_completed_at": None}
    (line,) = empty["databases"]
    assert (line["id"], line["last_backup_id"], line["next_run_at"]) == (notes, None, None) and empty["running"] == []

    worker = bm.worker()
    old = bm.wait_ended(api.run(notes)["id"])
    wait_for(lambda: bm.redis.client().hlen("bm:{default}:jobs") == 0)
    worker.terminate()
    made = api.run(notes)
    wait_for(lambda: bm.redis.client().hlen("bm:{default}:jobs") == 2)
    found = api.get("/api/status")
    assert found["backups"] == {"total": 2, "pending": 1, "in_progress": 0, "completed": 1, "partial": 0, "failed": 0,
                                "last_completed_at": old["completed_at"].strftime("%Y-%m-%dT%H:%M:%SZ")}  # fmt: skip
    (line,) = found["databases"]
    assert (line["last_backup_id"], line["last_status"]) == (made["id"], "pending")
    (queue,) = found["queues"]
    assert (queue["queue"], queue["ready"], queue["active"]) == ("default", 2, 0) and found["queues_error"] is None
    assert {k: v for k, v in found.items() if k != "queues_error"} == bm.ctl("status", json=True)
    tag = api.ask("GET", "/api/status").headers["ETag"]
    api.ask("GET", "/api/status", None, 304, If_None_Match=tag)
    api.get("/api/status?x=1", 400)


def test_status_counts_what_is_there(bm, api):
    """The kept counts against a count of the rows."""
    databases = [add_database(bm, f"d{i}") for i in range(3)]
    for i, status in enumerate(("pending", "in_progress", "in_progress", "completed", "completed", "completed", "partial", "failed")):
        add_backup(bm, databases[i % 2], f"b{i}", status, completed_at=f"2025-11-0{i + 1}T08:00:00Z")
    bm.query("SELECT bm_fold_statistics(1000)")
    bm.query("UPDATE backups SET status = 'partial' WHERE name = 'b5'")  # the last success, after it was counted
    bm.query("DELETE FROM backups WHERE name = 'b0'")
    rows = bm.query("SELECT status, count(*) AS n FROM backups GROUP BY 1")
    counts = api.get("/api/status")["backups"]
    assert {k: counts[k] for k in counts if k not in ("total", "last_completed_at")} == \
        {"pending": 0, **{r["status"]: r["n"] for r in rows}}
    assert counts["total"] == 7 and counts["last_completed_at"] == "2025-11-05T08:00:00Z"


def test_status_without_redis(bm, notes):
    api = Backups(bm, BM_REDIS_URL="redis://127.0.0.1:1/0")
    found = api.get("/api/status")
    assert found["queues"] is None and "127.0.0.1" in found["queues_error"] and len(found["databases"]) == 1


# -- cost


def plans(bm, log):
    """What auto_explain wrote of the lists' statements: their plans."""
    found = []
    for text in re.findall(r"plan:\n((?:\t.*\n)+)", log):
        plan = json.loads(text.replace("\n\t", "\n").strip())
        if "destinations" in plan["Query Text"] and "FROM backup_destinations" in plan["Query Text"]:
            found.append(plan["Plan"])
    return found


def test_reads_few_pages(bm):
    """With 20,000 backups and their copies no list reads more than what it shows: the plans, by the pages they touch."""
    database, rare = add_database(bm), add_database(bm, "rare")
    nightly, weekly = add_schedule(bm, database, "nightly"), add_schedule(bm, rare, "weekly")
    place = insert(bm, "destinations", name="seldom", storage_type="gcs")
    bm.query("INSERT INTO backups (name, database_id, schedule_id, status, created_by, created_at)"
             " SELECT 'b' || n, %s, %s, 'completed', (SELECT min(id) FROM users), now() - n * interval '1 minute'"
             " FROM generate_series(1, 20000) n", database, nightly)  # fmt: skip
    bm.query("INSERT INTO backup_destinations (backup_id, storage_type, file_path, status, priority)"
             " SELECT id, 's3', name, 'completed', 0 FROM backups")  # fmt: skip
    for i, status in enumerate(("failed", "partial", "pending", "in_progress")):
        backup = add_backup(bm, rare, f"odd{i}", status, schedule_id=weekly, created_at="2020-01-01T00:00:00Z")
        add_copy(bm, backup, "gcs", f"odd{i}", "failed", destination_id=place)
    bm.query("SELECT bm_fold_statistics(1000000)")
    bm.query("VACUUM ANALYZE")  # as autovacuum leaves it
    for setting in ("session_preload_libraries = 'auto_explain'", "auto_explain.log_min_duration = 0", "auto_explain.log_analyze = on",
                    "auto_explain.log_buffers = on", "auto_explain.log_format = 'json'"):  # fmt: skip
        bm.query(f"ALTER DATABASE {bm.database} SET {setting}")
    api = Backups(bm)
    newest = api.get("/api/backups?limit=1")["backups"][0]["id"]
    for query, rows in (("", 50), (f"before={newest - 15000}", 50), (f"database_id={database}", 50), (f"database_id={rare}", 4),
                        (f"database_id={database}&before={newest - 15000}", 50), (f"schedule_id={nightly}", 50), (f"schedule_id={weekly}", 4),
                        ("status=failed", 1), ("status=pending", 1), ("status=partial", 1), ("status=in_progress", 1), ("status=completed", 50),
                        (f"destination_id={place}", 4), ("storage_type=gcs", 4), ("copy_status=failed", 4), ("copy_status=completed", 50),
                        ("created_before=2021-01-01T00:00:00Z", 4)):  # fmt: skip
        before = len(bm.postgres.log())
        assert len(api.ids(f"?{query}" if query else "")) == rows, query
        (plan,) = plans(bm, bm.postgres.log()[before:])
        pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        assert pages < 450, (query, json.dumps(plan, indent=1))


def test_searches_hold_up_nobody_else(bm):
    """However many look for names, and however long that takes: the others have connections of their own."""
    api = ApiServer(bm)
    searcher, other = make_token(bm, "viewer"), make_token(bm, "viewer")
    assert api.ask("GET", "/api/me", token=searcher).status == 200
    holder = bm.postgres.connect(bm.database)
    holder.autocommit = False
    with concurrent.futures.ThreadPoolExecutor(150) as pool, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE backups IN ACCESS EXCLUSIVE MODE")
        searches = [pool.submit(api.ask, "GET", "/api/backups?q=x", token=searcher) for _ in range(150)]
        concurrent.futures.wait(searches, return_when=concurrent.futures.FIRST_COMPLETED)
        try:
            assert api.ask("GET", "/api/groups", token=other, bound=10).status == 200
        finally:
            holder.rollback()
        found = [s.result().status for s in searches]
    holder.close()
    assert set(found) == {200, 503} and found.count(200) >= 64
