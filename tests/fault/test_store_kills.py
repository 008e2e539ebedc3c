"""Workers are killed with -9, stopped past their lease and drained while they upload to object stores that misbehave: every
copy becomes whole, is made by one upload alone, and no upload stays open."""

import hashlib
import os
import random
import time

import pytest

from harness.object_stores import MIB, STORES
from harness.waiting import wait_for

SEED = int(os.environ.get("BM_CHAOS_SEED", random.SystemRandom().randrange(1 << 32)))
BACKUPS = int(os.environ.get("BM_CHAOS_BACKUPS", 12))
EVENTS = int(os.environ.get("BM_CHAOS_EVENTS", 12))


@pytest.fixture(params=STORES, ids=lambda store: store.usual)
def store(request, bm):
    with request.param.opened(bm, request.param.usual) as opened:
        yield opened


def configure(bm, store, rng):
    """A destination of each of the store's types, two where there is but one: their names."""
    names = [f"{type}{n}" for n in range(2 if len(store.types) == 1 else 1) for type in store.types]
    for name in names:
        store.destination(name, type=name[:-1], place=store.versioned, prefix=name, **store.any_parts(rng))
    for n in range(BACKUPS):
        path = os.path.join(bm.tmp, f"source{n}")
        with open(path, "wb") as f:
            f.write(rng.randbytes(rng.choice([100, 2 * MIB, 12 * MIB, 33 * MIB])))
        os.chmod(path, 0o644)
        bm.assign(bm.file_database(f"db{n}", path), *names)
    return names


def misbehave(store, rng):
    """One request somewhere goes wrong, in a way that passes."""
    action = rng.choice([
        {"type": "respond", **store.slow_down},
        {"type": "respond", **store.broken},
        {"type": "close_request", "bytes": rng.randrange(1, 200000), "reset": True},
        {"type": "drop_answer", "reset": rng.random() < 0.5},
        {"type": "close_response", "bytes": rng.randrange(1, 200), "of": "head"},
        {"type": "truncate"},
        {"type": "delay", "ms": 300},
        *store.own_faults(rng),
    ])  # fmt: skip
    operations = store.upload_operations
    if action["type"] == "truncate":  # of a HEAD it would be another length: a lie about the object, and no fault that passes
        operations = [operation for operation in operations if not operation.startswith("Head") and "Properties" not in operation]
    if action["type"] in store.only_parts:
        operations = [store.part]
    store.fake.rule(action, {"operation": rng.choice(operations), "nth": rng.randrange(1, 4)})


def test_kills(bm, store):
    rng = random.Random(SEED)
    print(f"BM_CHAOS_SEED={SEED} BM_CHAOS_BACKUPS={BACKUPS} BM_CHAOS_EVENTS={EVENTS}", flush=True)
    names = configure(bm, store, rng)
    env = {"BM_LEASE_SECONDS": "3", "BM_CONCURRENCY": "6", "BM_MAX_ATTEMPTS": "50", "BM_DRAIN_SECONDS": "1"}
    workers = [bm.worker(**env) for _ in range(2)]
    backups = [bm.run(f"db{n}") for n in range(BACKUPS)]
    for event in range(EVENTS):
        for _ in range(4):
            misbehave(store, rng)
        time.sleep(rng.uniform(0.1, 0.8))  # any moment is as good as another
        worker = rng.choice(workers)
        action = rng.choice(["kill", "kill", "pause", "drain"])
        print(f"{time.strftime('%T')} {action}", flush=True)
        if action == "kill":
            worker.kill()
            worker.start()
        elif action == "drain":
            worker.terminate()
            worker.start()
        else:
            worker.pause()
            time.sleep(rng.uniform(2, 5))
            worker.resume()
        if event == EVENTS // 2:
            bm.redis.client().flushall()
    store.fake.clear_rules()
    for backup in backups:
        assert bm.wait_ended(backup, bound=300)["status"] == "completed", bm.describe(backup)

    objects = store.fake.objects(store.versioned)
    rows = bm.query("SELECT d.*, b.artifact_sha256 FROM backup_destinations d JOIN backups b ON b.id = d.backup_id")
    assert {row["file_path"] for row in rows} == set(objects) and len(rows) == len(names) * BACKUPS
    for row in rows:
        found = objects[row["file_path"]]
        assert (found["size"], found["sha256"]) == (row["file_size"], row["checksum"]), (row, found)
        assert row["checksum"] == row["artifact_sha256"] and row["resume_state"] is None, row
        store.assert_of_one_upload(found)
    some = rng.choice(rows)
    assert hashlib.sha256(store.fake.content(some["file_path"], store.versioned)).hexdigest() == some["checksum"]
    for older in store.fake.state()["older_versions"]:
        # the last request of a worker that was killed may arrive late: nothing but a create-only condition stops it
        assert older["key"].startswith(store.without_condition), older
        assert older["sha256"] == objects[older["key"]]["sha256"], older
    wait_for(lambda: not store.left_uploads(), 120, lambda: f"uploads left open: {store.left_uploads()}")
    bm.fsck()
    for worker in workers:
        worker.terminate()
        worker.check()
