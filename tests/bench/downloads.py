"""downloads: a copy on a disk through backup-api, its SHA-256 compared on the way, beside Starlette's FileResponse (what the
specification's own system would send it with) and sha256sum of the same file."""

import hashlib
import os
import subprocess
import time

from details import TOKEN, get, start_ours, start_peer, tree
from lab import cpu_seconds, spread, status_of, stop, table

ROWS = """
INSERT INTO groups (id, name, created_by) SELECT 1, 'bench', min(id) FROM users;
INSERT INTO databases (id, name, db_type, host, port, group_id, created_by)
    SELECT 1, 'bench', 'postgresql', 'localhost', 5432, 1, min(id) FROM users;
INSERT INTO backups (id, name, database_id, status, created_by) SELECT 1, 'bench', 1, 'completed', min(id) FROM users;
INSERT INTO backup_destinations (backup_id, storage_type, storage_name, file_path, base_path, file_size, checksum, status, priority)
    VALUES (1, 'local', 'disk', 'dump', %(base)s, %(size)s, %(sha256)s, 'completed', 0);
INSERT INTO api_tokens (name, secret_hash, role) VALUES ('bench', %(token)s, 'operator');
"""
PATH = "/api/backups/1/download"


def fill(lab, mib):
    lab.database()
    base, digest = lab.path("downloads"), hashlib.sha256()
    os.makedirs(base, exist_ok=True)
    with open(os.path.join(base, "dump"), "wb") as f:
        for _ in range(mib):
            block = os.urandom(1 << 20)
            digest.update(block)
            f.write(block)
    connection = lab.postgres.connect(lab.database_name)
    with connection.cursor() as cursor:
        cursor.execute(ROWS, {"base": base, "size": mib << 20, "sha256": digest.hexdigest(),
                              "token": hashlib.sha256(TOKEN.encode()).hexdigest()})  # fmt: skip
    connection.close()
    return os.path.join(base, "dump")


def fetch(port, n, size):
    """Seconds until n clients have it all."""
    start = time.monotonic()
    clients = [
        subprocess.Popen(["curl", "-sf", "-o", "/dev/null", "-w", "%{size_download}", "-H", f"Authorization: Bearer {TOKEN}",
                          f"http://127.0.0.1:{port}{PATH}"], stdout=subprocess.PIPE, text=True)
        for _ in range(n)
    ]  # fmt: skip
    for client in clients:
        out, _ = client.communicate()
        assert client.returncode == 0 and int(out) == size, (client.returncode, out)
    return time.monotonic() - start


def measure(lab, name, process, port, options, rows):
    size = options.download_mib << 20
    fetch(port, 1, size)  # warm
    for n in options.downloads:
        rates, costs = [], []
        for _ in range(options.repeat):
            before = sum(map(cpu_seconds, tree(process.pid)))
            seconds = fetch(port, n, size)
            rates.append(n * size / seconds / 1e6)
            costs.append((sum(map(cpu_seconds, tree(process.pid))) - before) / (n * size / 1e9))
        memory = sum(status_of(pid)["VmHWM"] for pid in tree(process.pid)) / 1024
        rows.append([name, n, spread(rates), spread(costs, 2), f"{memory:.1f}"])


def bench_downloads(lab, options):
    """a copy on a disk, downloaded by curl, beside Starlette and sha256sum"""
    path = fill(lab, options.download_mib)
    print(f"  {options.download_mib} MiB from the page cache, curl to /dev/null, after one as a warm-up\n")
    rows = []
    process, port = start_ours(lab)
    lab.processes.append(process)
    get(port, "/api/me")
    measure(lab, "backup-api", process, port, options, rows)
    stop(process)
    if not options.no_peer:
        process, port = start_peer(lab, 1)
        lab.processes.append(process)
        get(port, "/openapi.json")
        measure(lab, "Starlette, no digest", process, port, options, rows)
        stop(process)
    rates, costs = [], []
    for _ in range(options.repeat):
        start, before = time.monotonic(), os.times()
        subprocess.run(["sha256sum", path], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        rates.append((options.download_mib << 20) / (time.monotonic() - start) / 1e6)
        used = after.children_user + after.children_system - before.children_user - before.children_system
        costs.append(used / ((options.download_mib << 20) / 1e9))
    rows.append(["sha256sum", "", spread(rates), spread(costs, 2), ""])
    table(["", "at once", "MB/s in all", "CPU s per GB", "peak MiB"], rows)
