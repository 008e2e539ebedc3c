"""migration: a database of the older system with many backups, step by step to the newest schema and back; with copies
of backups that have them, from the step on that counts them."""

import subprocess
import time

from lab import table

OLD = """
SET synchronous_commit = off;
INSERT INTO users (id, username, email, hashed_password) VALUES (1000, 'bench', 'bench@localhost', 'x');
INSERT INTO groups (id, name, created_by) VALUES (1, 'bench', 1000);
INSERT INTO databases (id, name, db_type, host, port, group_id, created_by)
    SELECT i, 'bench ' || i, 'postgresql', 'localhost', 5432, 1, 1000 FROM generate_series(1, 20) i;
INSERT INTO schedules (id, name, schedule_type, cron_expression, database_id, created_by)
    SELECT i, 'schedule ' || i, 'cron', '0 3 * * *', i, 1000 FROM generate_series(1, 20) i;
INSERT INTO backups (name, database_id, schedule_id, storage_type, file_path, file_size, checksum, status, started_at,
                     completed_at, duration_seconds, created_by, created_at)
    SELECT 'bench_' || n, 1 + n %% 20, 1 + n %% 20, 'local', 'bench/bench_' || n || '.sql.gz', 35840000, md5(n::text),
           CASE WHEN n %% 50 = 0 THEN 'failed' ELSE 'completed' END, at, at + interval '1 min', 60, 1000, at
    FROM (SELECT n, now() - (%(n)s - n) * interval '5 min' AS at FROM generate_series(1, %(n)s) n) AS times;
"""

# Two more copies of each backup: what the newer system would have made of them.
MORE = """
SET synchronous_commit = off;
INSERT INTO backup_destinations (backup_id, storage_type, storage_name, file_path, base_path, file_size, checksum, status, priority)
    SELECT b.id, 'local_external', 'disk ' || i, 'bench/' || b.name || '.sql.gz', '/srv/disk' || i, 35840000, md5(b.name),
           CASE b.status WHEN 'failed' THEN 'failed' ELSE 'completed' END, i
    FROM backups b, generate_series(1, 2) i;
"""


def migrate(lab, *words):
    start = time.monotonic()
    subprocess.run([lab.program("cli", "backupctl"), "migrate", *words], env=lab.environment(), check=True, capture_output=True)
    return time.monotonic() - start


def run(lab, sql, **values):
    connection = lab.postgres.connect(lab.database_name)
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SELECT version FROM schema_migrations ORDER BY version")
        steps = [row[0] for row in cursor.fetchall()]
    connection.close()
    return steps


def bench_migration(lab, options):
    """an older database with many backups, to the newest schema and back, by step"""
    lab.database()
    steps = run(lab, "SELECT 1")
    migrate(lab, "down", "--to", "0")
    run(lab, OLD, n=options.old_backups)
    print(f"  {options.old_backups:,} backups; two more copies of each from step 2 on\n")
    rows = []
    for step in steps:
        if step == 0:
            continue
        if step == 3:
            run(lab, MORE)
        rows.append([step, f"{migrate(lab, 'up', '--to', str(step)):.1f}"])
    for row in reversed(rows):
        row.append(f"{migrate(lab, 'down', '--to', str(row[0] - 1)):.1f}")
    table(["step", "up s", "down s"], rows)
