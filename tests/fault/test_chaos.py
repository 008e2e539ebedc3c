"""Everything dies, again and again, under a few hundred jobs: two schedulers, four workers, Redis and PostgreSQL are
killed with -9 at random moments, workers are stopped past their lease, Redis is emptied. In the end the promises hold."""

import os
import random
import signal
import time

import psycopg2
import pytest

import conftest
from harness.servers import Postgres, Redis
from harness.system import System, sha256_of
from harness.waiting import wait_for

SEED = int(os.environ.get("BM_CHAOS_SEED", random.SystemRandom().randrange(1 << 32)))
JOBS = int(os.environ.get("BM_CHAOS_JOBS", 300))
EVENTS = int(os.environ.get("BM_CHAOS_EVENTS", 30))

# What may never happen, recorded by the database itself at the moment it happens.
WATCH = """
CREATE TABLE breaches (at timestamptz DEFAULT clock_timestamp(), what text, old text, new text);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status IN ('completed', 'failed') AND (NEW.status, NEW.checksum, NEW.file_size, NEW.fence)
        IS DISTINCT FROM (OLD.status, OLD.checksum, OLD.file_size, OLD.fence) THEN
        INSERT INTO breaches (what, old, new) VALUES ('an ended row was changed', OLD::text, NEW::text);
    END IF;
    IF NEW.fence < OLD.fence OR NEW.attempts > OLD.attempts + 1 THEN
        INSERT INTO breaches (what, old, new) VALUES ('fence or attempts jumped', OLD::text, NEW::text);
    END IF;
    IF NEW.status = 'completed' AND (NEW.checksum IS NULL OR NEW.file_size IS NULL OR NEW.upload_completed_at IS NULL) THEN
        INSERT INTO breaches (what, old, new) VALUES ('completed on hope', OLD::text, NEW::text);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER watch AFTER UPDATE ON backup_destinations FOR EACH ROW EXECUTE FUNCTION watch();
"""


@pytest.fixture
def system(programs, tmp):
    postgres = Postgres(os.path.join(tmp, "pg")).create().start()
    redis = Redis(os.path.join(tmp, "redis"), durable=bool(SEED & 1)).start()
    postgres.create_database("chaos")
    env = conftest.base_environment(tmp, postgres.dsn("chaos"), redis.url)
    env |= {"BM_LEASE_SECONDS": "3", "BM_RECONCILE_SECONDS": "2", "BM_CONCURRENCY": "6", "BM_MAX_ATTEMPTS": "5",
            "BM_DRAIN_SECONDS": "1"}  # fmt: skip
    system = System(programs, postgres, redis, "chaos", tmp, env)
    try:
        system.ctl("migrate", "up")
        system.query(WATCH)
        yield system
        conftest.finish(system)
    finally:
        for process in system.processes:
            if process.running:
                process.kill()
        redis.stop()
        postgres.stop()


def configure(bm, rng):
    """Sources, disks and schedules; gives (disks, the disk that is not there)."""
    disks = {
        "main": bm.destination("main", "--priority", "0"),
        "nas": bm.destination("nas", "--priority", "1", type="local_external"),
        "narrow": bm.destination("narrow", "--priority", "2", "--max-concurrent", "2"),
    }
    broken = bm.destination("broken", "--priority", "3")
    os.rename(broken, broken + ".away")
    for n in range(12):
        name = f"db{n}"
        if n == 0:
            bm.command_database(name, "sh", "-c", "seq 1000; echo 'the tape is torn' >&2; exit 3")
        elif n == 1:
            bm.postgres_database(name, "postgres")
        elif n < 4:
            path = os.path.join(bm.tmp, f"file{n}")
            with open(path, "wb") as f:
                f.write(rng.randbytes(rng.randrange(1, 3_000_000)))
            bm.file_database(name, path)
        else:
            pause = rng.choice([0, 0.1, 0.5, 1])
            bm.command_database(name, "sh", "-c", f"seq {rng.randrange(1, 200000)}; sleep {pause}; date +%N")
        names = rng.sample(sorted(disks), rng.randrange(2, 4)) + (["broken"] if n == 5 else [])
        bm.assign(name, *names)
        for ordering in ("parallel", "sequential") if n % 3 == 0 else ("parallel",):
            bm.ctl("schedule", "add", f"{name}-{ordering}", "--database", name, "--cron", "* * * * *", "--ordering", ordering)
    return disks, broken


def feed(bm, rng):
    """A few schedules fall due, whatever state PostgreSQL is in."""
    try:
        if bm.value("SELECT count(*) FROM backup_destinations") < JOBS:
            bm.query("UPDATE schedules SET next_run_at = clock_timestamp() - random() * interval '1 second' "
                     "WHERE id IN (SELECT id FROM schedules ORDER BY random() LIMIT %s)", rng.randrange(1, 6))  # fmt: skip
    except psycopg2.Error:
        bm.connection = None


class Chaos:
    def __init__(self, bm, rng, workers, schedulers):
        self.bm, self.rng, self.workers, self.schedulers = bm, rng, workers, schedulers
        self.stopped = []

    def strike(self):
        action = self.rng.choices(
            [self.kill_worker, self.kill_scheduler, self.kill_redis, self.kill_postgres, self.flush, self.stop_worker,
             self.drain_worker],
            weights=[10, 3, 2, 2, 3, 3, 2],
        )[0]  # fmt: skip
        print(f"{time.strftime('%T')} {action.__name__}", flush=True)
        action()

    def kill_worker(self):
        worker = self.rng.choice(self.workers)
        self.wake(worker)
        worker.kill()
        worker.start()

    def drain_worker(self):
        worker = self.rng.choice(self.workers)
        self.wake(worker)
        worker.terminate()
        worker.start()

    def kill_scheduler(self):
        scheduler = self.rng.choice(self.schedulers)
        scheduler.kill()
        scheduler.start()

    def kill_redis(self):
        self.bm.redis.kill()
        time.sleep(self.rng.uniform(0, 1))
        self.bm.redis.start()

    def kill_postgres(self):
        self.bm.postgres.kill()
        time.sleep(self.rng.uniform(0, 1))
        self.bm.postgres.start()

    def flush(self):
        self.bm.redis.client().flushall()

    def stop_worker(self):
        """Silent past its lease, then back with an old fence in its hand."""
        worker = self.rng.choice(self.workers)
        if not any(worker is other for other, _ in self.stopped):
            worker.pause()
            self.stopped.append((worker, time.monotonic() + self.rng.uniform(2, 7)))

    def wake(self, which=None):
        for worker, until in list(self.stopped):
            if worker is which or (which is None and time.monotonic() > until):
                worker.resume()
                self.stopped.remove((worker, until))

    def calm(self):
        for worker, _ in self.stopped:
            worker.resume()
        self.stopped = []


def test_chaos(system):
    bm, rng = system, random.Random(SEED)
    print(f"BM_CHAOS_SEED={SEED} BM_CHAOS_JOBS={JOBS} BM_CHAOS_EVENTS={EVENTS}, Redis "
          f"{'with an append-only file' if SEED & 1 else 'without persistence'}", flush=True)  # fmt: skip
    disks, broken = configure(bm, rng)
    chaos = Chaos(bm, rng, [bm.worker() for _ in range(4)], [bm.scheduler() for _ in range(2)])
    for event in range(EVENTS):
        for _ in range(3):
            feed(bm, rng)
            chaos.wake()
            time.sleep(rng.uniform(0.05, 0.8))
        if event == EVENTS // 2:
            chaos.flush()
        chaos.strike()
        for process in chaos.workers + chaos.schedulers:
            assert process.running, f"ended by itself ({process.popen.returncode}):\n{process.tail(60)}"
    chaos.calm()
    wait_for(lambda: feed(bm, rng) or bm.value("SELECT count(*) FROM backup_destinations") >= JOBS, 300, "all jobs made", every=1)
    bm.query("UPDATE schedules SET is_active = false")

    def unfinished():
        return bm.query("SELECT b.id FROM backups b WHERE status IN ('pending', 'in_progress') OR EXISTS (SELECT FROM "
                        "backup_destinations d WHERE backup_id = b.id AND d.status NOT IN ('completed', 'failed'))")  # fmt: skip

    wait_for(lambda: not unfinished(), 600, lambda: bm.describe(*[row["id"] for row in unfinished()][:10]), every=0.5)
    judge(bm, disks, broken)
    for process in chaos.workers + chaos.schedulers:
        process.signal(signal.SIGTERM)
    for process in chaos.workers + chaos.schedulers:
        process.wait()
        process.check()


def judge(bm, disks, broken):
    rows = bm.query(
        "SELECT d.*, b.artifact_sha256, b.artifact_size, b.status AS backup_status, b.error_message AS backup_error, "
        "s.name AS source, b.schedule_id, b.fire_time "
        "FROM backup_destinations d JOIN backups b ON b.id = d.backup_id JOIN databases s ON s.id = b.database_id"
    )
    assert len(rows) >= JOBS
    assert bm.query("SELECT * FROM breaches") == []
    assert bm.query("SELECT schedule_id, fire_time FROM backups GROUP BY 1, 2 HAVING count(*) > 1") == []

    # completed, or failed for a true reason
    for row in rows:
        if row["status"] == "completed":
            assert row["source"] != "db0" and row["storage_name"] != "broken", row
            continue
        assert row["status"] == "failed" and row["error_message"], row
        if row["source"] == "db0":
            assert "the tape is torn" in row["error_message"], row
        elif row["storage_name"] == "broken":
            assert row["attempts"] == 5 and broken in row["error_message"], row
        else:
            # the dump of the very server that was being killed
            assert row["source"] == "db1" and "pg_dump" in row["error_message"], row

    # each file is whole, is what the artifact was, and there is no other file
    expected = set()
    for row in rows:
        if row["status"] == "completed":
            path = os.path.join(row["base_path"], row["file_path"])
            assert path not in expected, row
            expected.add(path)
            assert sha256_of(path) == (row["checksum"], row["file_size"]), row
            assert (row["checksum"], row["file_size"]) == (row["artifact_sha256"], row["artifact_size"]), row

    def strangers():
        found = {os.path.join(folder, name) for base in disks.values() for folder, _, names in os.walk(base) for name in names}
        return {path for path in found - expected if os.path.basename(path) != ".backupmanager-disk"}

    wait_for(lambda: not strangers(), 120, lambda: f"files of no row: {strangers()}")
    wait_for(lambda: not [name for name in os.listdir(bm.env["BM_STAGING_DIR"]) if name.endswith(".tmp")], 60,
             lambda: f"left in staging: {os.listdir(bm.env['BM_STAGING_DIR'])}")  # fmt: skip

    # the backup says what its destinations say
    for row in bm.query("SELECT b.id, b.status, array_agg(DISTINCT d.status) AS ends FROM backups b JOIN backup_destinations d "
                        "ON d.backup_id = b.id GROUP BY b.id"):  # fmt: skip
        ends = set(row["ends"])
        wanted = "completed" if ends == {"completed"} else "failed" if ends == {"failed"} else "partial"
        assert row["status"] == wanted, row

    # Redis has forgotten what is done, and agrees
    bm.fsck(bound=60)
    redis = bm.redis.client()

    def held():
        keys = [key for pattern in ("ready:*", "active:*", "parked:*", "retry", "lease") for key in redis.keys(f"bm:{{default}}:{pattern}")]
        return {key: redis.type(key) for key in keys if key != "bm:{default}:parked"}

    wait_for(lambda: not held(), 60, lambda: f"still in Redis: {held()}")
    print(f"{len(rows)} destination rows, {len(expected)} completed, {len(rows) - len(expected)} failed as they should", flush=True)
