"""A staged dump to three stores by a worker, beside rclone for each of the three."""

import json
import os
import subprocess
import time

from clients import STORES, Rclone, Sink
from dispatch import wait_until
from lab import QUEUE, cpu_seconds, median, spread, status_of, stop, table
from uploads import MIB, make_files, print_head, warm

COPIES = 3

ROWS = """
    INSERT INTO groups (id, name, created_by) SELECT 1, 'bench', min(id) FROM users;
    INSERT INTO databases (id, name, db_type, host, port, group_id, created_by)
        SELECT 1, 'bench', 'postgresql', 'localhost', 5432, 1, min(id) FROM users;
    INSERT INTO destinations (id, name, storage_type, storage_config, credentials_ref, priority, queue)
        SELECT i, 'store ' || i, %(type)s, (%(configs)s::jsonb -> i - 1)::text, 'env:BENCH_CREDENTIALS', i - 1,
            %(queue)s FROM generate_series(1, %(n)s) i;
    INSERT INTO backups (id, name, database_id, status, created_by, artifact_state, artifact_fence, artifact_host,
            artifact_sha256, artifact_size, artifact_ready_at)
        SELECT 1, 'bench_1', 1, 'pending', min(id), 'ready', 1, %(host)s, %(sha256)s, %(size)s, now() FROM users;
    INSERT INTO backup_destinations (backup_id, storage_type, storage_name, file_path, status, priority,
            destination_id, queue, enqueued_at)
        SELECT 1, storage_type, name, 'bench/bench_1.sql.gz', 'pending', priority, id, queue, now()
        FROM destinations ORDER BY id;
    """


def stage(lab, store, path):
    """The file as a finished artifact in the staging directory, with the digests of its parts; gives its SHA-256."""
    staging = lab.path("staging")
    os.makedirs(staging, exist_ok=True)
    artifact = os.path.join(staging, "b1.g1")
    if not os.path.exists(artifact):
        os.link(path, artifact)
    subprocess.run([lab.program("tests", "bench", "bench_upload"), "digest", staging,
                    *(["--md5"] if store.staged_md5 else []), artifact], check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    with open(artifact + ".sha256") as f:
        return f.read()


def run_worker(lab, store, tls, path):
    lab.database()
    sink = Sink(lab, tls)
    sha256 = stage(lab, store, path)
    configs = [store.config(lab, sink, f"bucket{i + 1}") for i in range(COPIES)]
    lab.postgres.execute(lab.database_name, ROWS, {
        "type": store.storage_type, "configs": json.dumps(configs), "queue": QUEUE, "n": COPIES, "host": lab.worker_host(),
        "sha256": sha256, "size": os.path.getsize(path)})  # fmt: skip
    rows = lab.postgres.execute(lab.database_name, "SELECT id, backup_id, priority FROM backup_destinations")
    lab.load_jobs(rows, visible=False, storage_type=store.storage_type)
    worker = lab.start_worker([lab.program("worker", "backup-worker")], BENCH_CREDENTIALS=store.credentials,
                              NO_PROXY="127.0.0.1")  # fmt: skip
    time.sleep(2)  # its first reconciling pass is over
    client = lab.redis.client()
    warm([path])
    cpu, start = cpu_seconds(worker.pid), time.monotonic()
    lab.show_jobs()
    wait_until(lambda: client.hlen(f"bm:{{{QUEUE}}}:jobs") == 0, worker)
    wall = time.monotonic() - start
    cpu, peak = cpu_seconds(worker.pid) - cpu, status_of(worker.pid)["VmHWM"] / 1024
    stop(worker)
    sink.stop()
    states = lab.postgres.execute(lab.database_name, "SELECT status, attempts, count(*), min(error_message) "
                                  "FROM backup_destinations GROUP BY 1, 2")  # fmt: skip
    assert states == [("completed", 1, COPIES, None)], states
    return {"wall": wall, "cpu": cpu, "peak": peak}


def run_rclone(lab, store, tls, path, arguments, at_once):
    """One process for each store, one after another or all at once."""
    sink = Sink(lab, tls)
    client = Rclone("rclone", store, *arguments)
    warm([path])
    reports = [lab.path(f"meter-{i}.json") for i in range(COPIES)]
    start = time.monotonic()
    running = []
    for i, report in enumerate(reports):
        argv = client.command(lab, sink, [path], f"bucket{i + 1}")
        running.append(subprocess.Popen([lab.program("tests", "bench", "bench_meter"), report, *argv],
                                        env=client.environment(lab, sink), stderr=subprocess.DEVNULL))  # fmt: skip
        if not at_once:
            running[-1].wait()
    assert [process.wait() for process in running] == [0] * COPIES
    wall = time.monotonic() - start
    sink.stop()
    uses = [json.load(open(report)) for report in reports]
    peaks = [use["peak_kib"] / 1024 for use in uses]
    return {"wall": wall, "cpu": sum(use["user"] + use["system"] for use in uses),
            "peak": sum(peaks) if at_once else max(peaks)}  # fmt: skip


def bench_stores(lab, options):
    """a staged dump to three destinations in object stores by backup-worker, beside three runs of rclone"""
    print(f"""  backup-worker (default settings) takes three rows of one backup whose artifact ({options.upload_mib} MiB) is staged with its
  digests: from the jobs' becoming visible until the rows are completed and acked; CPU of the worker in that time. rclone: one
  run for each store, one after another or all three at once; whole processes. Buckets of one server that drops what it
  gets (see uploads). {options.repeat} rounds, each of the ways in turn: median [smallest..largest].""")
    os.makedirs(lab.path("home"), exist_ok=True)
    for name in options.to:
        for tls in (False, True):
            compare(lab, options, STORES[name], tls)


def compare(lab, options, store, tls):
    path = make_files(lab, "large", 1, options.upload_mib * MIB)[0]
    ways = {"backup-worker": lambda: run_worker(lab, store, tls, path)}
    if not options.no_peer:
        cheapest = store.rclone_cheapest
        ways |= {
            "rclone, one after another": lambda: run_rclone(lab, store, tls, path, (), False),
            "rclone, at once": lambda: run_rclone(lab, store, tls, path, (), True),
            "rclone, its cheapest, one after another": lambda: run_rclone(lab, store, tls, path, cheapest, False),
            "rclone, its cheapest, at once": lambda: run_rclone(lab, store, tls, path, cheapest, True),
        }
    runs = {name: [] for name in ways}
    for _ in range(options.repeat):
        for name, way in ways.items():
            runs[name].append(way())
    ours = {what: median([run[what] for run in runs["backup-worker"]]) for what in ("wall", "cpu")}
    print_head(f"{options.upload_mib} MiB to {COPIES} stores", store, tls)
    table(["", "wall s", "CPU s", "wall to ours", "CPU to ours", "peak MiB"],
          [[name, spread([run["wall"] for run in r], 2), spread([run["cpu"] for run in r], 2),
            *(f"{median([run[what] for run in r]) / ours[what]:.1f}x" for what in ("wall", "cpu")),
            f"{median([run['peak'] for run in r]):.1f}"] for name, r in runs.items()])  # fmt: skip
