"""What every benchmark stands on: throw-away servers, a migrated database, rows and jobs in bulk, and meters that
read /proc."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(REPOSITORY, "tests"))

from harness.processes import children  # noqa: E402
from harness.servers import Postgres, Redis  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
QUEUE = "bench"
SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

# Durable commits; room enough that checkpoints and cache misses don't decide the figures.
POSTGRES_SETTINGS = (
    "synchronous_commit=on", "fsync=on", "full_page_writes=on", "shared_buffers=512MB", "max_wal_size=8GB",
    "checkpoint_timeout=1h", "min_wal_size=1GB",
)  # fmt: skip


# ---- meters


def cpu_seconds(pid):
    """User and system time of a process, all its threads, and its children that have ended."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(f) for f in fields[11:15]) / TICK


def tree_cpu_seconds(pid):
    return cpu_seconds(pid) + sum(cpu_seconds(child) for child in children(pid))


def status_of(pid):
    """/proc/PID/status, numbers as integers (memory in KiB)."""
    found = {}
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            key, _, value = line.partition(":")
            word = (value.split() or [""])[0]
            found[key] = int(word) if word.isdigit() else word
    return found


def anonymous_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        for line in rollup:
            if line.startswith("Anonymous:"):
                return int(line.split()[1])
    return 0


def switches(pid):
    """Context switches of all threads: how often the process was woken, roughly."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status") as status:
            for line in status:
                if "ctxt_switches" in line:
                    total += int(line.split()[1])
    return total


def median(values):
    return statistics.median(values)


def spread(values, digits=0):
    """Median and, in brackets, the smallest and the largest."""
    def show(v):
        return f"{v:,.{digits}f}"
    return f"{show(median(values))} [{show(min(values))}..{show(max(values))}]"


def table(head, rows):
    widths = [max(len(str(r[i])) for r in [head, *rows]) for i in range(len(head))]
    for number, row in enumerate([head, *rows]):
        print("  " + "  ".join(str(v).ljust(w) if i == 0 else str(v).rjust(w)
                               for i, (v, w) in enumerate(zip(row, widths))).rstrip())  # fmt: skip
        if number == 0:
            print("  " + "  ".join("-" * w for w in widths))


# ---- the laboratory


class Lab:
    def __init__(self, options):
        self.options = options
        self.tmp = tempfile.mkdtemp(prefix="bmb-", dir=options.dir)
        os.chmod(self.tmp, 0o755)
        self.build = options.build
        self.postgres = self.redis = None
        self.processes = []
        self.databases = 0

    def close(self):
        for process in self.processes:
            stop(process)
        if self.postgres:
            self.postgres.stop()
        if self.redis:
            self.redis.stop()
        if not self.options.keep:
            shutil.rmtree(self.tmp, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.tmp, name)

    def program(self, *parts):
        return os.path.join(self.build, *parts)

    def servers(self):
        if self.postgres is None:
            extra = list(self.options.postgres_setting or [])
            if self.options.profile:
                extra += ["shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track=all",
                          "pg_stat_statements.track_planning=on"]  # fmt: skip
            self.postgres = Postgres(self.path("pg"), [*POSTGRES_SETTINGS, *extra]).create().start()
            self.redis = Redis(self.path("redis")).start()
            for kind, name in (("postgresql", self.postgres.popen.pid), ("redis", self.redis.popen.pid)):
                if self.options.verbose:
                    print(f"  {kind}: pid {name}")
        return self.postgres, self.redis

    def database(self):
        """A fresh migrated database; the one before it is dropped, and Redis emptied."""
        postgres, redis = self.servers()
        if self.databases:
            postgres.drop_database(f"bench_{self.databases}")
        self.databases += 1
        name = postgres.create_database(f"bench_{self.databases}")
        subprocess.run([self.program("cli", "backupctl"), "migrate", "up"], env=self.environment(), check=True,
                       capture_output=True)  # fmt: skip
        redis.client().flushall()
        return name

    @property
    def database_name(self):
        return f"bench_{self.databases}"

    def environment(self, **more):
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("BM_", "PG"))}
        return {
            **keep,
            "BM_DATABASE_URL": self.postgres.dsn(self.database_name),
            "BM_REDIS_URL": self.redis.url,
            "BM_STAGING_DIR": self.path("staging"),
            "BM_QUEUES": QUEUE,
            "BM_LOG_LEVEL": "warn",
            "BM_HOST": "bench",
            **{k: str(v) for k, v in more.items()},
        }

    def peer_environment(self):
        return {**os.environ, "PEER_REDIS": self.redis.socket, "PEER_PG": self.postgres.socket_dir,
                "PEER_PG_PORT": str(self.postgres.port), "PEER_PG_DATABASE": self.database_name,
                "NODE_ENV": "production"}  # fmt: skip

    def peer(self, *arguments, wait=True):
        argv = ["node", os.path.join(HERE, "peer", "peer.js"), *map(str, arguments)]
        if wait:
            return subprocess.run(argv, env=self.peer_environment(), check=True, stdout=subprocess.PIPE,
                                  text=True).stdout  # fmt: skip
        process = subprocess.Popen(argv, env=self.peer_environment(), stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout.readline().strip() == "ready"
        return process

    def start_worker(self, program, **settings):
        """Starts a worker and waits until it has shown itself in Redis."""
        log = open(self.path("worker.log"), "a")
        process = subprocess.Popen(program, env=self.environment(**settings), stdout=log, stderr=log)
        self.processes.append(process)
        client = self.redis.client()
        end = time.monotonic() + 20
        while client.hlen(f"bm:{{{QUEUE}}}:workers") == 0:
            assert process.poll() is None and time.monotonic() < end, open(self.path("worker.log")).read()[-2000:]
            time.sleep(0.01)
        return process

    # -- rows and jobs

    def make_backups(self, n, host, size=4096, staged=True):
        """n backups whose artifact is ready, each with three rows, for three destinations; gives the first row's id
        and their number. host as the worker names itself."""
        staging = self.path("staging")
        os.makedirs(staging, exist_ok=True)
        sql = f"""
            SET session_replication_role = replica; -- no trigger, no look-up of foreign keys while loading
            SET synchronous_commit = off;
            INSERT INTO groups (id, name, created_by) SELECT 1, 'bench', min(id) FROM users ON CONFLICT DO NOTHING;
            INSERT INTO databases (id, name, db_type, host, port, group_id, created_by)
                SELECT 1, 'bench', 'postgresql', 'localhost', 5432, 1, min(id) FROM users ON CONFLICT DO NOTHING;
            INSERT INTO destinations (id, name, storage_type, base_path, priority, queue)
                SELECT i, 'disk ' || i, 'local', '/srv/backups/disk' || i, i - 1, '{QUEUE}'
                FROM generate_series(1, 3) i ON CONFLICT DO NOTHING;
            CREATE TEMP TABLE b ON COMMIT PRESERVE ROWS AS
                SELECT nextval('backups_id_seq')::int AS id FROM generate_series(1, {n});
            INSERT INTO backups (id, name, database_id, status, created_by, artifact_state, artifact_fence,
                    artifact_host, artifact_sha256, artifact_size, artifact_ready_at)
                SELECT b.id, 'bench_' || b.id, 1, 'pending', (SELECT min(id) FROM users), 'ready', 1, '{host}',
                    '{SHA256}', {size}, now() FROM b ORDER BY b.id;
            INSERT INTO backup_destinations (backup_id, storage_type, storage_name, file_path, base_path, status,
                    priority, destination_id, queue, enqueued_at)
                SELECT b.id, 'local', 'disk ' || d, 'bench/2026/01/01/bench_' || b.id || '.sql.gz',
                    '/srv/backups/disk' || d, 'pending', d - 1, d, '{QUEUE}', now()
                FROM b, generate_series(1, 3) d ORDER BY b.id, d;
            """
        connection = self.postgres.connect(self.database_name)
        with connection.cursor() as cursor:
            cursor.execute(sql)
            cursor.execute("SELECT min(id), max(id) FROM b")
            first, last = cursor.fetchone()
            cursor.execute("VACUUM ANALYZE backups")
            cursor.execute("VACUUM ANALYZE backup_destinations")
            cursor.execute("SELECT d.id, d.backup_id, d.priority FROM backup_destinations d "
                           "WHERE d.backup_id BETWEEN %s AND %s ORDER BY d.id", (first, last))  # fmt: skip
            rows = cursor.fetchall()
            cursor.execute("CHECKPOINT")
        connection.close()
        if staged:
            for backup in range(first, last + 1):
                fd = os.open(f"{staging}/b{backup}.g1", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                os.ftruncate(fd, size)
                os.close(fd)
        return rows

    def load_jobs(self, rows, visible=True, storage_type="local"):
        """The rows' jobs into Redis, in pipelines, as enqueue.lua would put them. visible=False: into lists beside
        the ready ones; show_jobs() makes them ready in one step."""
        client = self.redis.client()
        prefix = f"bm:{{{QUEUE}}}"
        for start in range(0, len(rows), 2000):
            pipe = client.pipeline(transaction=False)
            bands, places = {}, {}
            for row, backup, priority in rows[start : start + 2000]:
                job = {"id": row, "op": "upload", "backup_id": backup, "backup": f"bench_{backup}",
                       "storage_type": storage_type, "storage_name": f"disk {priority + 1}", "priority": priority,
                       "attempt": 1, "enqueued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}  # fmt: skip
                bands.setdefault(priority, []).append(json.dumps(job, separators=(",", ":")))
                places[f"upload:{row}"] = f"ready:{priority}"
            for band, jobs in bands.items():
                pipe.rpush(f"{prefix}:{'ready' if visible else 'loading'}:{band}", *jobs)
            pipe.hset(f"{prefix}:jobs", mapping=places)
            pipe.execute()

    def show_jobs(self):
        client = self.redis.client()
        prefix = f"bm:{{{QUEUE}}}"
        pipe = client.pipeline(transaction=True)
        for band in range(10):
            if client.exists(f"{prefix}:loading:{band}"):
                pipe.rename(f"{prefix}:loading:{band}", f"{prefix}:ready:{band}")
        pipe.rpush(f"{prefix}:bell", "1")
        pipe.execute()

    def worker_host(self):
        return f"bench:{os.path.realpath(self.path('staging'))}"


def stop(process, signal=15, bound=30):
    if process.poll() is None:
        process.send_signal(signal)
        try:
            process.wait(bound)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()
