"""What a worker costs while there is nothing to do, and how soon it begins when there is."""

import json
import time

from lab import QUEUE, anonymous_kib, cpu_seconds, median, status_of, stop, switches, table


def bench_idle(lab, options):
    """memory and wake-ups of an idle worker, beside an idle BullMQ worker"""
    print(f"""  backup-worker with default settings (16 at once; relay pass every 5 s, reconciler every 30 s) and a BullMQ
  worker with concurrency 16 and its pg connections open, side by side on empty queues. After 10 s, over
  {options.idle_seconds} s: context switches of all threads (each is a wake-up or less), CPU, then memory.""")
    lab.database()
    lab.postgres.execute(lab.database_name, "CREATE TABLE peer_jobs (id integer PRIMARY KEY)")
    workers = {"backup-worker": lab.start_worker([lab.program("worker", "backup-worker")])}
    if not options.no_peer:
        workers["BullMQ"] = lab.peer("idle", wait=False)
    time.sleep(10)
    before = {name: (switches(p.pid), cpu_seconds(p.pid)) for name, p in workers.items()}
    time.sleep(options.idle_seconds)
    rows = []
    for name, process in workers.items():
        woken = (switches(process.pid) - before[name][0]) * 60 / options.idle_seconds
        cpu = (cpu_seconds(process.pid) - before[name][1]) * 60000 / options.idle_seconds
        status = status_of(process.pid)
        rows.append([name, f"{status['VmRSS'] / 1024:.1f}", f"{anonymous_kib(process.pid) / 1024:.1f}",
                     f"{woken:.0f}", f"{cpu:.0f}"])  # fmt: skip
        stop(process)
    table(["", "resident MiB", "anonymous MiB", "switches/min", "CPU ms/min"], rows)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p))]


def bench_latency(lab, options):
    """from push to claim by an idle worker"""
    print(f"""  One job at a time, pushed to an idle worker as enqueue.lua would, {options.latency_jobs} times. Claimed: Redis's own clock
  (MONITOR) when the worker's claim script moves the job. Taken: upload_started_at in PostgreSQL. BullMQ: from add()
  until its processor runs, by the machine's monotonic clock.""")
    n = options.latency_jobs
    lab.database()
    rows = lab.make_backups((n + 2) // 3, lab.worker_host())[:n]
    client = lab.redis.client()
    lab.load_jobs(rows, visible=False)  # so that the reconciler finds nothing lost
    worker = lab.start_worker([lab.program("tests", "bench", "bench_worker")])
    time.sleep(3)
    jobs = [job for band in range(3) for job in client.lrange(f"bm:{{{QUEUE}}}:loading:{band}", 0, -1)]
    active = f"bm:{{{QUEUE}}}:active:"
    claims, takes = [], []
    with lab.redis.client().monitor() as monitor:
        for done, job in enumerate(jobs, 1):
            row = json.loads(job)
            pipe = client.pipeline(transaction=True)
            pipe.rpush(f"bm:{{{QUEUE}}}:ready:{row['priority']}", job)
            pipe.rpush(f"bm:{{{QUEUE}}}:bell", "1")
            pushed = time.time()
            pipe.execute()
            while True:
                seen = monitor.next_command()
                if seen["command"].startswith("RPUSH " + active) or seen["command"].startswith("rpush " + active):
                    claims.append(1000 * (seen["time"] - pushed))
                    break
            while client.hlen(f"bm:{{{QUEUE}}}:jobs") > len(jobs) - done:
                time.sleep(0.005)
            taken = lab.postgres.execute(
                lab.database_name, "SELECT extract(epoch FROM upload_started_at AT TIME ZONE 'UTC')::float8 "
                "FROM backup_destinations WHERE id = %s", (row["id"],))[0][0]  # fmt: skip
            takes.append(1000 * (taken - pushed))
            time.sleep(0.01 + 0.001 * (done % 17))
    stop(worker)
    results = [["push to claim", claims], ["push to taken in PostgreSQL", takes]]
    if not options.no_peer:
        listener = lab.peer("listen", wait=False)
        results.append(["BullMQ, push to processor", json.loads(lab.peer("latency", n))])
        stop(listener)
    table(["ms", "median", "p99", "worst"],
          [[name, f"{median(v):.2f}", f"{percentile(v, 0.99):.2f}", f"{max(v):.2f}"] for name, v in results])  # fmt: skip
