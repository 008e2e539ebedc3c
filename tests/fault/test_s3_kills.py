"""Workers are killed with -9, stopped past their lease and drained while they upload to object stores that misbehave: every
copy becomes whole, is made by one upload alone, and no upload stays open."""

import hashlib
import json
import os
import random
import time

import pytest

from harness.fakes import FakeS3
from harness.waiting import wait_for

SEED = int(os.environ.get("BM_CHAOS_SEED", random.SystemRandom().randrange(1 << 32)))
BACKUPS = int(os.environ.get("BM_CHAOS_BACKUPS", 12))
EVENTS = int(os.environ.get("BM_CHAOS_EVENTS", 12))
MIB = 1 << 20
TYPES = ("s3", "minio", "spaces", "backblaze")
OPERATIONS = ["PutObject", "HeadObject", "CreateMultipartUpload", "UploadPart", "ListParts", "CompleteMultipartUpload"]


@pytest.fixture
def s3():
    with FakeS3() as server:
        yield server


def configure(bm, s3, rng):
    secret = os.path.join(bm.tmp, "secret")
    with open(secret, "w", opener=lambda p, f: os.open(p, f, 0o644)) as f:
        f.write(f"{FakeS3.access_key}:{FakeS3.secret_key}")
    for type in TYPES:
        config = {"bucket": "bucket", "region": "us-east-1", "endpoint": s3.http, "prefix": type, "part_size": "5MiB",
                  "multipart_threshold": "5MiB", "parallel_parts": rng.randrange(1, 5)}  # fmt: skip
        bm.ctl("destination", "add", type, "--type", type, "--credentials-ref", f"file:{secret}", "--config", json.dumps(config))
    for n in range(BACKUPS):
        path = os.path.join(bm.tmp, f"source{n}")
        with open(path, "wb") as f:
            f.write(rng.randbytes(rng.choice([100, 2 * MIB, 12 * MIB, 33 * MIB])))
        os.chmod(path, 0o644)
        bm.assign(bm.file_database(f"db{n}", path), *TYPES)


def misbehave(s3, rng):
    """One request somewhere goes wrong, in a way that passes."""
    action = rng.choice([
        {"type": "respond", "status": 503, "code": "SlowDown"},
        {"type": "respond", "status": 500, "code": "InternalError"},
        {"type": "close_request", "bytes": rng.randrange(1, 200000), "reset": True},
        {"type": "drop_answer", "reset": rng.random() < 0.5},
        {"type": "close_response", "bytes": rng.randrange(1, 200), "of": "head"},
        {"type": "truncate"},
        {"type": "delay", "ms": 300},
    ])  # fmt: skip
    operations = OPERATIONS
    if action["type"] == "truncate":  # of a HEAD it would be another length: a lie about the object, and no fault that passes
        operations = [operation for operation in OPERATIONS if operation != "HeadObject"]
    s3.rule(action, {"operation": rng.choice(operations), "nth": rng.randrange(1, 4)})


def test_kills(bm, s3):
    rng = random.Random(SEED)
    print(f"BM_CHAOS_SEED={SEED} BM_CHAOS_BACKUPS={BACKUPS} BM_CHAOS_EVENTS={EVENTS}", flush=True)
    configure(bm, s3, rng)
    env = {"BM_LEASE_SECONDS": "3", "BM_CONCURRENCY": "6", "BM_MAX_ATTEMPTS": "50", "BM_DRAIN_SECONDS": "1"}
    workers = [bm.worker(**env) for _ in range(2)]
    backups = [bm.run(f"db{n}") for n in range(BACKUPS)]
    for event in range(EVENTS):
        for _ in range(4):
            misbehave(s3, rng)
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
    s3.clear_rules()
    for backup in backups:
        assert bm.wait_ended(backup, bound=300)["status"] == "completed", bm.describe(backup)

    objects = s3.objects()
    rows = bm.query("SELECT d.*, b.artifact_sha256 FROM backup_destinations d JOIN backups b ON b.id = d.backup_id")
    assert {row["file_path"] for row in rows} == set(objects) and len(rows) == len(TYPES) * BACKUPS
    for row in rows:
        found = objects[row["file_path"]]
        assert (found["size"], found["sha256"]) == (row["file_size"], row["checksum"]), (row, found)
        assert row["checksum"] == row["artifact_sha256"] and row["resume_state"] is None, row
    some = rng.choice(rows)
    assert hashlib.sha256(s3.content(some["file_path"])).hexdigest() == some["checksum"]
    assert not s3.state()["older_versions"]  # nothing was ever written over
    wait_for(lambda: not s3.uploads(), 30, lambda: f"uploads left open: {s3.uploads()}")
    bm.fsck()
    for worker in workers:
        worker.terminate()
        worker.check()
