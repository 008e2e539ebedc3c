"""details: GET /api/databases/{id}/details of a database with 100,000 backups, 10 shown, 3 copies each, two of them on a
disk; beside the same page by FastAPI and SQLAlchemy (peer/details_api.py), which is what the specification's own system is
made of."""

import hashlib
import json
import os
import re
import subprocess
import time
import urllib.request

from lab import HERE, cpu_seconds, status_of, stop, table
from harness.processes import children
from harness.servers import free_port

TOKEN = "bm_" + "b" * 43
SECONDS = 10

LOAD = """
SET synchronous_commit = off;
INSERT INTO groups (id, name, created_by) SELECT 1, 'bench', min(id) FROM users;
INSERT INTO databases (id, name, db_type, host, port, group_id, created_by)
    SELECT i, 'bench ' || i, 'postgresql', 'localhost', 5432, 1, min(u.id) FROM generate_series(1, 2) i, users u GROUP BY i;
INSERT INTO schedules (id, name, schedule_type, cron_expression, timezone, database_id, created_by)
    SELECT i, 'schedule ' || i, 'cron', '0 3 * * *', 'Europe/Rome', 1, min(u.id) FROM generate_series(1, 3) i, users u GROUP BY i;
INSERT INTO backups (name, database_id, schedule_id, status, created_by, created_at, started_at, completed_at, fire_time)
    SELECT 'bench_' || n, 1, 1 + n %% 3, CASE WHEN n %% 50 = 0 THEN 'failed' WHEN n %% 60 = 0 THEN 'partial' ELSE 'completed' END,
           (SELECT min(id) FROM users), at, at, at + interval '1 min', at
    FROM (SELECT n, now() - (%(n)s - n) * interval '5 min' AS at FROM generate_series(1, %(n)s) n) AS times;
INSERT INTO backup_destinations (backup_id, storage_type, storage_name, file_path, base_path, storage_config, file_size,
                                 checksum, status, priority, upload_duration_seconds)
    SELECT b.id, t.type, t.name, 'production/' || b.name || '.sql.gz', t.base, t.config, 35840000,
           md5(b.name) || md5(t.name), CASE b.status WHEN 'failed' THEN 'failed' ELSE 'completed' END, t.priority, 45
    FROM backups b, (VALUES ('local', 'Main Storage', %(main)s, NULL, 0), ('local_external', 'External HDD', %(external)s, NULL, 1),
                            ('s3', 'AWS S3', NULL, '{"bucket":"my-backups","region":"us-east-1"}', 2))
                    AS t (type, name, base, config, priority)
    ORDER BY b.id, t.priority;
INSERT INTO api_tokens (name, secret_hash, role) VALUES ('bench', %(hash)s, 'viewer');
SELECT bm_fold_statistics(10000000);
"""


def fill(lab, backups):
    lab.database()
    bases = {"main": lab.path("main"), "external": lab.path("external")}
    connection = lab.postgres.connect(lab.database_name)
    with connection.cursor() as cursor:
        cursor.execute(LOAD, {"n": backups, "hash": hashlib.sha256(TOKEN.encode()).hexdigest(), **bases})
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SELECT name FROM backups ORDER BY id DESC LIMIT 200")
        names = [row[0] for row in cursor.fetchall()]
    connection.close()
    for base in bases.values():
        os.makedirs(f"{base}/production")
        for name in names:
            with open(f"{base}/production/{name}.sql.gz", "wb") as f:
                f.truncate(35842048)


def start_ours(lab):
    port = free_port()
    log = open(lab.path("api.log"), "ab")
    process = subprocess.Popen([lab.program("api", "backup-api")], env=lab.environment(BM_LISTEN=f"127.0.0.1:{port}"),
                               stdout=log, stderr=log)  # fmt: skip
    return process, port


def start_peer(lab, workers):
    port = free_port()
    url = f"postgresql://postgres@/{lab.database_name}?host={lab.postgres.socket_dir}&port={lab.postgres.port}"
    log = open(lab.path("peer.log"), "ab")
    process = subprocess.Popen(
        ["/usr/bin/python3", "-m", "uvicorn", "details_api:app", "--port", str(port), "--workers", str(workers),
         "--log-level", "warning"],
        env={**os.environ, "PEER_DATABASE": url, "PYTHONDONTWRITEBYTECODE": "1"}, cwd=os.path.join(HERE, "peer"),
        stdout=log, stderr=log)  # fmt: skip
    return process, port


def get(port, path, bound=60):
    """The answer's JSON, once the server listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {TOKEN}"})
    end = time.monotonic() + bound
    while True:
        try:
            with urllib.request.urlopen(request, timeout=bound) as answer:
                return json.loads(answer.read())
        except ConnectionError:
            pass
        except urllib.error.URLError as e:
            if not isinstance(e.reason, ConnectionError):
                raise
        assert time.monotonic() < end, "it does not listen"
        time.sleep(0.05)


def tree(pid):
    return [pid, *(p for child in children(pid) for p in tree(child))]


def unit(text):
    value, name = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[name]


def drive(lab, process, port, path, connections):
    """wrk for SECONDS: requests/s, ms at the middle and at 99 %, CPU ms per request of the server and of PostgreSQL."""
    pids = tree(process.pid)
    before = [sum(map(cpu_seconds, group)) for group in (pids, tree(lab.postgres.popen.pid))]
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "--timeout", "30s", "-H",
                          f"Authorization: Bearer {TOKEN}", f"http://127.0.0.1:{port}{path}"],
                         check=True, capture_output=True, text=True).stdout  # fmt: skip
    after = [sum(map(cpu_seconds, group)) for group in (pids, tree(lab.postgres.popen.pid))]
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
            unit(re.search(r"\n +50%\s+(\S+)", out).group(1)), unit(re.search(r"\n +99%\s+(\S+)", out).group(1)),
            *(1000 * (b - a) / requests for a, b in zip(before, after)))  # fmt: skip


def measure(lab, name, process, port, path, connections, rows):
    answer = get(port, path)
    assert len(answer["recent_backups"]) == 10 and all(len(b["destinations"]) == 3 for b in answer["recent_backups"])
    assert any((c["file_info"] or {}).get("is_accessible") for b in answer["recent_backups"] for c in b["destinations"])
    drive(lab, process, port, path, 1)  # warm
    for n in connections:
        rate, middle, high, own, postgres = drive(lab, process, port, path, n)
        memory = sum(status_of(pid)["VmHWM"] for pid in tree(process.pid)) / 1024
        if lab.options.verbose:
            print(f"  {name}, {n}: {rate:,.0f}/s")
        rows.append([name, n, f"{rate:,.0f}", f"{middle:.2f}", f"{high:.2f}", f"{own:.3f}", f"{postgres:.3f}", f"{memory:.1f}"])


def bench_details(lab, options):
    """a database's page with 100,000 backups, beside FastAPI and SQLAlchemy"""
    fill(lab, options.backups)
    print(f"  {options.backups:,} backups of one database, 10 shown with 3 copies each, 2 of these looked at on a disk; "
          f"wrk -t1, {SECONDS} s, keep-alive, after a warm-up\n")  # fmt: skip
    rows = []
    path = "/api/databases/1/details"
    process, port = start_ours(lab)
    lab.processes.append(process)
    measure(lab, "backup-api", process, port, path, options.connections, rows)
    stop(process)
    if not options.no_peer:
        for workers in (1, 2):
            process, port = start_peer(lab, workers)
            lab.processes.append(process)
            name = f"FastAPI, {workers} process" + "es" * (workers > 1)
            measure(lab, name, process, port, path, options.connections, rows)
            measure(lab, f"{name}, no statistics", process, port, f"{path}/without-statistics", options.connections, rows)
            stop(process)
    table(["", "connections", "requests/s", "p50 ms", "p99 ms", "CPU ms each", "PostgreSQL", "peak MiB"], rows)
