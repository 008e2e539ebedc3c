"""Copies at object stores, through the whole system, against the scripted servers (tests/fakes): what a user sees of a good
copy, of each failure, and of secrets (nothing). The same for every type of store; what only one of them has is in
test_s3.py, test_gcs.py."""

import json
import os
import re

import pytest

from harness import object_stores
from harness.object_stores import LARGE, MIB, SMALL, STORES, everything_shown, secret_file
from harness.waiting import wait_for

EACH = [store.usual for store in STORES]
PORTAL = {"type": "garbage", "body": "<html>Log in first</html>"}


@pytest.fixture(params=EACH)
def store(request, bm):
    """Tests say @every_type when the types of one store differ in what is tested."""
    with object_stores.opened(request.param, bm) as opened:
        yield opened


def every_type(test):
    return pytest.mark.parametrize("store", object_stores.TYPES, indirect=True)(test)


@every_type
def test_a_copy_beside_a_disk(bm, store):
    """The same bytes in both places, over TLS; and all that one does with a copy."""
    base = bm.destination("disk")
    store.destination(https=True, prefix=store.type)
    backup = store.backup_of(LARGE, "disk", "store")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    disk, row = sorted(bm.rows(backup), key=lambda row: row["storage_type"] != "local")
    path = bm.assert_whole(disk)
    assert path.startswith(base) and os.path.getsize(path) > 16 * MIB  # so it went the way of large objects
    assert row["checksum"] == disk["checksum"] and row["file_size"] == disk["file_size"]
    assert row["file_path"].startswith(store.type + "/")
    assert row["attempts"] == 1 and row["upload_duration_seconds"] is not None
    store.assert_whole(row)
    assert not store.open_uploads() and store.begun() == 1
    assert bm.ctl("backup", "verify", backup, "--deep", json=True)

    restored = bm.directory("restored")
    os.chmod(restored, 0o777)
    out = os.path.join(restored, "out")
    bm.ctl("backup", "restore", backup, "--from", "store", "--output", out, "--decode")
    with open(out, "rb") as f, open(os.path.join(bm.tmp, "data.data"), "rb") as g:
        assert f.read() == g.read()

    bm.ctl("backup", "delete", backup)
    assert not store.fake.objects()


@pytest.mark.parametrize("size", [0, SMALL])
def test_small_copies(bm, store, size):
    store.destination()
    backup = store.backup_of(size)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    store.assert_whole(bm.rows(backup)[0])
    assert store.begun() == 0


@every_type
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_an_answer_that_got_lost_is_no_conflict(bm, store, size):
    """The object was made, and the connection ended: what stands there is looked at before anything is decided."""
    store.fake.rule("drop_answer", {"operation": store.small if size == SMALL else store.final})
    store.destination()
    backup = store.backup_of(size)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    assert row["attempts"] == 1
    store.assert_whole(row)
    assert len(store.fake.objects()) == 1 and not store.open_uploads()


@every_type
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_another_object_is_never_replaced(bm, store, size):
    store.destination()
    first = store.backup_of(1000)
    bm.worker()
    assert bm.wait_ended(first)["status"] == "completed", bm.describe(first)
    taken = bm.rows(first)[0]
    bm.ctl("queue", "pause")
    second = store.backup_of(size, name="other")
    config = bm.value("SELECT storage_config FROM destinations")
    ref = bm.value("SELECT credentials_ref FROM destinations")
    config = {**(config if isinstance(config, dict) else json.loads(config)), "credentials_ref": ref}
    bm.query("UPDATE backup_destinations SET file_path = %s, destination_id = NULL, storage_config = %s WHERE backup_id = %s",
             taken["file_path"], json.dumps(config), second)  # fmt: skip
    bm.ctl("queue", "resume")
    assert bm.wait_ended(second)["status"] == "failed"
    row = bm.rows(second)[0]
    assert row["error_code"] == "conflict" and row["attempts"] == 1, row
    for digest in (taken["checksum"], bm.backup(second)["artifact_sha256"]):
        assert digest[:12] in row["error_message"], row["error_message"]
    store.assert_whole(taken)
    assert not store.open_uploads()


@pytest.mark.parametrize("store, name", [(s.usual, n) for s in STORES for n in s.finals], indirect=["store"])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_what_is_final_ends_at_once(bm, store, size, name):
    action, words, code = store.finals[name]
    store.fake.rule({"type": "respond", **action}, {"operation": store.writes, "count": 0})
    store.destination()
    base = bm.destination("disk")
    backup = store.backup_of(size, "store", "disk")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "partial", bm.describe(backup)
    row = next(r for r in bm.rows(backup) if r["storage_type"] == store.type)
    assert row["status"] == "failed" and row["attempts"] == 1 and row["error_code"] == code, row
    for word in words:
        assert word in row["error_message"], row["error_message"]
    assert bool(re.search(r"request [\w-]+", row["error_message"])) == store.names_requests, row["error_message"]
    assert not store.open_uploads()
    bm.assert_tidy(base)

    store.fake.clear_rules()
    bm.ctl("backup", "retry", backup)
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)


def test_a_place_that_is_not_there(bm, store):
    store.destination(place="nowhere")
    backup = store.backup_of(SMALL)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["attempts"] == 1 and row["error_code"] == "not_found" and "'nowhere'" in row["error_message"], row


def test_a_wrong_secret_is_told_and_never_shown(bm, store):
    wrong = store.wrong_secret
    store.destination(ref=secret_file(bm, "wrong", store.credentials(wrong)))
    backup = store.backup_of(SMALL)
    worker = bm.worker()
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["attempts"] == 1 and row["error_code"] == "denied" and store.refused in row["error_message"], row
    assert not [text for text in everything_shown(bm, worker) if wrong in text]
    # and with the right one in its place, the retry succeeds
    secret_file(bm, "wrong", store.credentials())
    bm.ctl("backup", "retry", backup)
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_page_in_the_stores_place_is_no_object(bm, store, size):
    """A proxy or a portal answers everything with a page of its own: that passes, and nothing is judged by it."""
    store.fake.rule(PORTAL, {"count": 0}, before_auth=True)
    store.destination()
    backup = store.backup_of(size)
    bm.worker(BM_MAX_ATTEMPTS="50")
    wait_for(lambda: bm.rows(backup)[0]["attempts"] >= 2, 60, lambda: bm.describe(backup))
    row = bm.rows(backup)[0]
    assert row["error_code"] == "protocol" and store.own_words in row["error_message"], row
    store.fake.clear_rules()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    store.fake.rule(PORTAL, {"count": 0}, before_auth=True)
    for deep in ([], ["--deep"]):
        done = bm.ctl("backup", "verify", backup, *deep, check=False)
        assert done.returncode == 1 and store.own_words in done.stdout and "corrupt" not in done.stdout, done.stdout
    assert bm.ctl("backup", "delete", backup, check=False).returncode == 1
    store.fake.clear_rules()
    assert len(store.fake.objects()) == 1


def test_transient_trouble_is_bridged_and_waits_are_obeyed(bm, store):
    """A store that is too busy and says for how long, a connection cut in mid body, an error of the store's: one attempt is
    enough, and the wait is kept."""
    store.fake.rule({"type": "respond", **store.slow_down, "headers": {"Retry-After": "1"}}, {"operation": store.begin})
    store.fake.rule({"type": "close_request", "bytes": 100000, "reset": True}, {"operation": store.part})
    store.fails("broken", store.part, nth=3)
    store.destination(**store.in_parts)
    backup = store.backup_of(LARGE)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    assert row["attempts"] == 1
    store.assert_whole(row)
    assert not store.open_uploads() and store.begun() == 1
    first, second = store.fake.log(store.begin)[:2]
    assert second["time"] - first["time"] >= 1


def test_slow_answers(bm, store):
    """A few bytes at a time, head and all, are an answer like any other."""
    store.fake.rule({"type": "slow", "ms": 1, "bytes": 7}, {"count": 0})
    store.destination(**store.in_parts)
    backup = store.backup_of(LARGE)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    store.fake.clear_rules()
    store.assert_whole(bm.rows(backup)[0])


def test_a_stalled_store_is_given_up_when_the_worker_drains(bm, store):
    store.fake.rule("stall", {"operation": store.part})
    store.destination(**store.in_parts)
    backup = store.backup_of(LARGE)
    first = bm.worker(BM_DRAIN_SECONDS="1")
    wait_for(lambda: store.fake.activity()["in_flight"].get(store.part), 60, lambda: bm.describe(backup))
    first.signal(15)
    first.wait(60)
    row = bm.rows(backup)[0]
    assert row["status"] == "pending" and row["attempts"] == 0, row
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    store.assert_whole(bm.rows(backup)[0])
    assert not store.open_uploads()


def test_exhausted_attempts_leave_no_upload_open(bm, store):
    store.fails_for_ever("broken", store.part, nth=3)
    store.destination(**store.in_parts)
    backup = store.backup_of(LARGE)
    bm.worker(BM_MAX_ATTEMPTS="2")
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["attempts"] == 2 and row["resume_state"] is None and store.broken["code"] in row["error_message"], row
    wait_for(lambda: not store.open_uploads(), 120, lambda: str(store.open_uploads()))
    assert store.begun() == 1  # the second attempt went on with the first one's upload
    assert not store.fake.objects()


def test_cancel_aborts_the_upload(bm, store):
    store.fake.rule("hold", {"operation": store.part, "count": 0})
    store.destination(**store.in_parts)
    backup = store.backup_of(LARGE)
    bm.worker()
    store.fake.wait_holding()
    bm.ctl("backup", "cancel", backup)
    wait_for(lambda: bm.rows(backup)[0]["error_code"] == "cancelled", 60, lambda: bm.describe(backup))
    wait_for(lambda: not store.open_uploads(), 60, lambda: str(store.open_uploads()))
    assert not store.fake.objects()


def test_a_drained_worker_hands_its_upload_on(bm, store):
    store.fake.rule("hold", {"operation": store.part, "nth": 3, "count": 0})
    store.destination(**store.in_parts)
    backup = store.backup_of(LARGE)
    first = bm.worker(BM_DRAIN_SECONDS="1")
    store.fake.wait_holding()
    first.signal(15)
    first.wait(60)
    row = bm.rows(backup)[0]
    assert row["status"] == "pending" and row["attempts"] == 0 and row["resume_state"], row
    store.fake.clear_rules()
    store.fake.release()
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    store.assert_whole(bm.rows(backup)[0])
    assert store.begun() == 1 and not store.open_uploads()


def test_destination_test_prints_each_step(bm, store):
    store.destination()
    done = bm.ctl("destination", "test", "store")
    assert "FAIL" not in done.stdout and done.stdout.count("OK") >= 5, done.stdout
    assert not store.fake.objects() and not store.open_uploads()
    store.fails_for_ever("denied", store.writes)
    done = bm.ctl("destination", "test", "store", check=False)
    assert done.returncode == 1 and store.denied["code"] in done.stdout and store.needs in done.stdout, done.stdout
    store.fake.clear_rules()
    store.destination("nowhere", place="nowhere")
    done = bm.ctl("destination", "test", "nowhere", check=False)
    assert done.returncode == 1 and f"{store.container} 'nowhere' isn't there" in done.stdout, done.stdout


def test_tls_is_verified(bm, store):
    store.destination("trusting", https=True)
    store.destination("wary", https=True, ca_file=None)
    assert "FAIL" not in bm.ctl("destination", "test", "trusting").stdout
    done = bm.ctl("destination", "test", "wary", check=False)
    assert done.returncode == 1 and "ca_file" in done.stdout, done.stdout


def test_doctor_looks_where_copies_go(bm, store):
    """Rights may end at the prefix; and who has a store is not told to mount a disk."""
    store.destination(prefix="/ours/")
    store.destination("nowhere", place="nowhere", prefix="ours")
    found = {f["check"]: f for f in bm.ctl("doctor", json=True, check=False)}
    assert found["destination store"]["level"] == "OK", found
    assert "destination test" in found["destination nowhere"]["advice"], found
    assert "disk" not in found["destination nowhere"]["advice"], found
    assert "FAIL" not in bm.ctl("destination", "test", "store").stdout
    assert all(e["key"].startswith("ours/backupmanager-") for e in store.fake.log() if e["key"] and e["status"] == 200)


def test_no_secret_anywhere(bm, store):
    """Neither in PostgreSQL, Redis, logs, arguments or answers; nor does a dump's child inherit it."""
    store.destination(ref="env:THE_STORE_SECRET")
    environ = os.path.join(bm.tmp, "environ")
    database = bm.command_database("env", "sh", "-c", f"env > {environ}; echo done")
    bm.assign(database, "store")
    os.chmod(bm.tmp, 0o777)
    backup = bm.run(database)
    others = {"AWS_SECRET_ACCESS_KEY": "aws-secret-of-the-worker", "VAULT_TOKEN": "hvs.token"}
    worker = bm.worker(THE_STORE_SECRET=store.credentials(), **others)
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    with open(environ) as f:
        child = f.read()
    redis = bm.redis.client()
    held = [str(redis.dump(key)) for key in redis.scan_iter("*")]
    for text in (*everything_shown(bm, worker), child, *held):
        for word in (store.secret, "Signature=", *others.values()):
            assert word not in text, word


def test_a_killed_worker_leaves_its_upload_to_the_next(bm, store):
    """What arrived before kill -9 isn't sent again (but for what was under way), and no upload stays open."""
    store.destination(**store.in_parts)
    store.fake.rule("hold", {"operation": store.part, "nth": 4, "count": 0}, id="hold")
    backup = store.backup_of(LARGE)
    first = bm.worker()
    store.fake.wait_holding()
    wait_for(lambda: bm.rows(backup)[0]["resume_state"], 60, lambda: bm.describe(backup))
    first.kill()
    assert not store.fake.objects()
    store.fake.clear_rules()
    store.fake.release()
    store.fake.wait_idle()
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    store.assert_whole(row)
    sent = sum(e["request_bytes"] for e in store.fake.log(store.part))
    assert sent <= row["file_size"] + 2 * 5 * MIB, (sent, row["file_size"])
    assert store.begun() == 1 and not store.open_uploads()
    bm.fsck()
