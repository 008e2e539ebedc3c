"""Jobs per second of the whole path, beside BullMQ; and its cost with few and many jobs queued."""

import signal
import time

from lab import QUEUE, anonymous_kib, cpu_seconds, median, spread, status_of, stop, table, tree_cpu_seconds


class Meter:
    """Time, CPU of the worker and of the servers, between start and end."""

    def __init__(self, lab, pid):
        self.lab, self.pid = lab, pid
        self.before = self._read()

    def _read(self):
        return (time.monotonic(), cpu_seconds(self.pid), cpu_seconds(self.lab.redis.popen.pid),
                tree_cpu_seconds(self.lab.postgres.popen.pid))  # fmt: skip

    def end(self, jobs):
        wall, worker, redis, postgres = (b - a for a, b in zip(self.before, self._read()))
        status = status_of(self.pid)
        return {
            "rate": jobs / wall,
            "cpu": 1000 * worker / jobs,
            "redis": 1000 * redis / jobs,
            "postgres": 1000 * postgres / jobs,
            "rss": status["VmHWM"] / 1024,
            "anonymous": anonymous_kib(self.pid) / 1024,
        }


def wait_until(condition, process, bound=600, every=0.01):
    end = time.monotonic() + bound
    while not condition():
        assert process.poll() is None, "the worker ended"
        assert time.monotonic() < end, "not done in time"
        time.sleep(every)


def print_statements(lab, jobs):
    rows = lab.postgres.execute(
        lab.database_name, """SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 70), calls, rows,
            total_exec_time, total_plan_time, wal_bytes, shared_blks_hit
        FROM pg_stat_statements WHERE calls > 10 ORDER BY total_exec_time + total_plan_time DESC LIMIT 14""")  # fmt: skip
    table(["statement", "calls", "rows/call", "us/job", "plan us/job", "ms/call", "WAL B/job", "hits/job"],
          [[q, calls, f"{n / calls:.1f}", f"{1000 * run / jobs:.1f}", f"{1000 * plan / jobs:.1f}",
            f"{run / calls:.2f}", f"{float(wal) / jobs:.0f}", f"{hits / jobs:.1f}"]
           for q, calls, n, run, plan, wal, hits in rows])  # fmt: skip


def run_ours(lab, concurrency, jobs, settings=None):
    lab.database()
    rows = lab.make_backups(jobs // 3, lab.worker_host())
    lab.load_jobs(rows, visible=False)
    worker = lab.start_worker([lab.program("tests", "bench", "bench_worker")], BM_CONCURRENCY=concurrency,
                              **(settings or {}))  # fmt: skip
    time.sleep(2)  # its first reconciling pass is over: the rows' jobs stand in Redis, nothing is to be restored
    client = lab.redis.client()
    if lab.options.profile:
        lab.postgres.execute(lab.database_name, "CREATE EXTENSION pg_stat_statements")
        lab.postgres.execute(lab.database_name, "SELECT pg_stat_statements_reset()")
    meter = Meter(lab, worker.pid)
    lab.show_jobs()
    wait_until(lambda: client.hlen(f"bm:{{{QUEUE}}}:jobs") == 0, worker)
    result = meter.end(len(rows))
    if lab.options.profile:
        print_statements(lab, len(rows))
    stop(worker)
    states = lab.postgres.execute(
        lab.database_name, "SELECT d.status, b.status, d.attempts, d.fence, count(*) FROM backup_destinations d "
        "JOIN backups b ON b.id = d.backup_id GROUP BY 1, 2, 3, 4")  # fmt: skip
    assert states == [("completed", "completed", 1, 1, len(rows))], states
    return result


PEER_TABLE = """
    CREATE TABLE peer_jobs (id integer PRIMARY KEY, backup_id integer NOT NULL, status varchar NOT NULL,
        attempts integer NOT NULL DEFAULT 0, file_size bigint, checksum varchar, upload_started_at timestamptz,
        upload_completed_at timestamptz);
    INSERT INTO peer_jobs (id, backup_id, status) SELECT i, (i + 2) / 3, 'pending' FROM generate_series(1, {n}) i;
    """


def run_peer(lab, concurrency, jobs):
    lab.database()
    connection = lab.postgres.connect(lab.database_name)
    with connection.cursor() as cursor:
        cursor.execute(PEER_TABLE.format(n=jobs))
        cursor.execute("VACUUM ANALYZE peer_jobs")
        cursor.execute("CHECKPOINT")
    connection.close()
    lab.peer("load", jobs)
    worker = lab.peer("work", concurrency, wait=False)
    time.sleep(0.5)
    client = lab.redis.client()
    waiting = client.llen("bull:peer:wait")
    assert waiting == jobs, f"{waiting} of {jobs} jobs are waiting"
    meter = Meter(lab, worker.pid)
    worker.send_signal(signal.SIGUSR2)
    wait_until(lambda: client.llen("bull:peer:wait") + client.llen("bull:peer:active") == 0, worker)
    result = meter.end(jobs)
    stop(worker)
    left = lab.postgres.execute(
        lab.database_name, "SELECT count(*) FROM peer_jobs WHERE status <> 'completed' OR attempts <> 1")
    assert left == [(0,)], f"{left} rows of the peer are not completed"
    return result


def bench_dispatch(lab, options):
    """jobs per second with both durable status writes, beside BullMQ"""
    print("""  Ours: bench_worker, which is backup-worker over a driver that stores nothing. Each job: claimed (Lua), taken in
  PostgreSQL, its staged file (4 KiB) opened, ended in PostgreSQL, acked; every backup has 3 rows (priorities 0, 1, 2)
  and is rolled up when its last row ends. In flight: BM_CONCURRENCY, jobs claimed, taken or uploading; outcomes of as
  many more may be on their way to PostgreSQL. Peer: a BullMQ worker in node, two prepared UPDATEs by primary key through
  pg's pool (as many connections as jobs in flight) on a table with that one index; jobs removed on completion.
  Same PostgreSQL (fsync and synchronous_commit on) and Redis, fresh database each time, turn about.
  Time: from the first job's becoming visible until none is left in Redis. CPU: ms per job, of user and system.""")
    rows, ratios = [], []
    for concurrency in options.concurrency:
        ours, peer = [], []
        for repetition in range(options.repeat):
            turns = [lambda: ours.append(run_ours(lab, concurrency, options.jobs)),
                     lambda: peer.append(run_peer(lab, concurrency, options.peer_jobs))]  # fmt: skip
            if options.no_peer:
                turns = turns[:1]
            for turn in turns if repetition % 2 == 0 else reversed(turns):
                turn()
            if options.verbose:
                print("  ", {k: round(v, 3) for k, v in ours[-1].items()},
                      {k: round(v, 3) for k, v in peer[-1].items()} if peer else "")  # fmt: skip
        for name, results in (("ours", ours), ("BullMQ", peer)):
            if results:
                rows.append([f"{name}, {concurrency} in flight", spread([r["rate"] for r in results]),
                             *(f"{median([r[k] for r in results]):.3f}" for k in ("cpu", "redis", "postgres")),
                             *(f"{median([r[k] for r in results]):.1f}" for k in ("rss", "anonymous"))])  # fmt: skip
        if peer:
            rate, cpu, rss = (
                median([r[k] for r in ours]) / median([r[k] for r in peer]) for k in ("rate", "cpu", "rss"))
            ratios.append(f"  {concurrency} in flight: {rate:.1f} times BullMQ's jobs per second, 1/{1 / cpu:.0f} of "
                          f"its worker CPU per job, 1/{1 / rss:.1f} of its memory")  # fmt: skip
    table(["", "jobs/s", "worker ms", "Redis ms", "PostgreSQL ms", "peak MiB", "anonymous MiB"], rows)
    print("\n".join(ratios))


def run_queued(lab, queued, jobs):
    """`jobs` of high priority through a queue in which `queued` more wait all the time."""
    lab.database()
    waiting = [(row, backup, 9) for row, backup, _ in lab.make_backups(-(-queued // 3), lab.worker_host(), staged=False)]
    rows = lab.make_backups(jobs // 3, lab.worker_host())
    lab.load_jobs(waiting)
    lab.load_jobs(rows, visible=False)
    client = lab.redis.client()
    # no room for a job until the first reconciling pass, which looks at every row, is over
    client.rename(f"bm:{{{QUEUE}}}:ready:9", f"bm:{{{QUEUE}}}:loading:9")
    worker = lab.start_worker([lab.program("tests", "bench", "bench_worker")], BM_CONCURRENCY=64,
                              BM_STARVATION_SECONDS=86400, BM_RECONCILE_SECONDS=86400)  # fmt: skip
    reconciled = "SELECT count(*) FROM maintenance WHERE name = 'reconcile'"
    wait_until(lambda: lab.postgres.execute(lab.database_name, reconciled) == [(1,)], worker, every=0.2)
    meter = Meter(lab, worker.pid)
    lab.show_jobs()
    wait_until(lambda: client.hlen(f"bm:{{{QUEUE}}}:jobs") <= len(waiting), worker)
    result = meter.end(len(rows))
    stop(worker, signal=9)
    result["redis_mib"] = client.info("memory")["used_memory"] / 1048576
    return result


def bench_queued(lab, options):
    """cost per job with few and many jobs queued"""
    print(f"""  bench_worker, 64 in flight, {options.jobs} jobs of priorities 0 to 2 while N more of priority 9 wait in the same queue
  and in PostgreSQL. CPU: ms per job.""")
    rows = []
    for queued in options.queued:
        r = run_queued(lab, queued, options.jobs)
        rows.append([f"{queued:,} queued", f"{r['rate']:,.0f}", *(f"{r[k]:.3f}" for k in ("cpu", "redis", "postgres")),
                     f"{r['redis_mib']:,.0f}"])  # fmt: skip
    table(["", "jobs/s", "worker ms", "Redis ms", "PostgreSQL ms", "Redis MiB"], rows)
