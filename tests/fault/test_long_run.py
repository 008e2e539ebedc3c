"""Ten thousand jobs through one worker: nothing grows."""

import os

from harness.waiting import wait_for

BACKUPS, COPIES = 200, 50


def open_files(process):
    """What the worker holds open, sockets and pipes by kind only: their numbers change."""
    names = []
    for fd in os.listdir(f"/proc/{process.pid}/fd"):
        try:
            names.append(os.readlink(f"/proc/{process.pid}/fd/{fd}").split(":")[0])
        except FileNotFoundError:
            pass  # closed since
    return sorted(names)


def insert_round(bm, n, base):
    bm.query(
        "WITH b AS (INSERT INTO backups (name, database_id, status, created_by) "
        " SELECT %s || g, (SELECT id FROM databases), 'pending', (SELECT min(id) FROM users) "
        " FROM generate_series(1, %s) g RETURNING id, name) "
        "INSERT INTO backup_destinations (backup_id, storage_type, file_path, base_path, status, priority) "
        "SELECT b.id, 'local', b.name || '/' || c, %s, 'pending', c %% 3 FROM b, generate_series(1, %s) c",
        f"round{n}_", BACKUPS if n else 20, base, COPIES)  # fmt: skip


def unfinished(bm):
    return bm.value("SELECT count(*) FROM backup_destinations WHERE status IN ('pending', 'uploading')")


def test_descriptors_do_not_grow(bm):
    source = os.path.join(bm.tmp, "source")
    with open(source, "w") as f:
        f.write("small\n")
    bm.file_database("small", source)
    base = bm.directory("disk")
    worker = bm.worker(BM_CONCURRENCY="32")
    insert_round(bm, 0, base)  # threads, connections and prepared statements are there after this one
    wait_for(lambda: unfinished(bm) == 0, 300, lambda: bm.describe())
    before = open_files(worker)
    insert_round(bm, 1, base)
    wait_for(lambda: unfinished(bm) == 0, 600, lambda: f"{unfinished(bm)} copies unfinished")
    assert bm.value("SELECT count(*) FROM backup_destinations WHERE status = 'completed'") == (BACKUPS + 20) * COPIES
    wait_for(lambda: len(open_files(worker)) <= len(before), 60, lambda: f"{before} -> {open_files(worker)}")
    bm.fsck()
