"""Counts that are kept (sql/004_statistics): the same as counting, in every snapshot, whatever is done to the rows."""

import random
import threading

import pytest

from harness.waiting import wait_for

KEPT = """
SELECT schedule_id, sum(total)::int AS total, sum(completed)::int AS completed, sum(partial)::int AS partial,
       sum(failed)::int AS failed, sum(unfinished)::int AS unfinished, sum(copies)::int AS copies,
       sum(copies_size)::bigint AS size
FROM (SELECT * FROM backup_statistics UNION ALL SELECT * FROM backup_statistics_changes) AS s
WHERE database_id = 1
GROUP BY schedule_id"""

COUNTED = """
SELECT schedule_id, sum(total)::int AS total, sum(completed)::int AS completed, sum(partial)::int AS partial,
       sum(failed)::int AS failed, sum(unfinished)::int AS unfinished, sum(copies)::int AS copies,
       sum(size)::bigint AS size
FROM (SELECT coalesce(schedule_id, 0) AS schedule_id, 1 AS total, (status = 'completed')::int AS completed,
             (status = 'partial')::int AS partial, (status = 'failed')::int AS failed,
             (status IN ('pending', 'in_progress'))::int AS unfinished, 0 AS copies, 0 AS size
      FROM backups WHERE database_id = 1
      UNION ALL
      SELECT 0, 0, 0, 0, 0, 0, 1, coalesce(d.file_size, 0)
      FROM backup_destinations d JOIN backups b ON b.id = d.backup_id
      WHERE b.database_id = 1 AND d.status = 'completed') AS c
GROUP BY schedule_id"""

# Rows that differ, seen by one statement and so in one snapshot; keys whose counts are all 0 are no difference.
DIFFERENCE = f"""
SELECT k.*, c.* FROM ({KEPT}) AS k FULL JOIN ({COUNTED}) AS c USING (schedule_id)
WHERE (k.total, k.completed, k.partial, k.failed, k.unfinished, k.copies, k.size) IS DISTINCT FROM
      (c.total, c.completed, c.partial, c.failed, c.unfinished, c.copies, c.size)
  AND NOT (c.total IS NULL AND (k.total, k.completed, k.partial, k.failed, k.unfinished, k.copies, k.size) =
                               (0, 0, 0, 0, 0, 0, 0))"""

STATUSES = ("pending", "in_progress", "completed", "partial", "failed")


def begin(cursor):
    """Two databases, three schedules of the first."""
    cursor.execute("INSERT INTO databases (id, name, db_type, created_by) "
                   "SELECT n, 'd' || n, 'file', (SELECT min(id) FROM users) FROM generate_series(1, 2) n")
    cursor.execute("INSERT INTO schedules (id, name, schedule_type, database_id, created_by) SELECT n, 's' || n, 'manual', 1, "
                   "(SELECT min(id) FROM users) FROM generate_series(1, 3) n")


def act(cursor, dice):
    """One change, as our programs, older ones or a person with psql make it."""
    what = dice.randrange(12)
    some = "(SELECT id FROM {} ORDER BY random() LIMIT {})"
    if what < 3:
        cursor.execute(
            "WITH b AS (INSERT INTO backups (name, database_id, schedule_id, status, created_by) "
            "SELECT 'b' || nextval('backups_id_seq'), 1, (SELECT id FROM schedules WHERE id = %s), %s, (SELECT min(id) FROM users) "
            "FROM generate_series(1, %s) RETURNING id) "
            "INSERT INTO backup_destinations (backup_id, storage_type, file_path, status, file_size) "
            "SELECT b.id, 'local', b.id || '/' || n, CASE n WHEN 1 THEN 'completed' ELSE 'pending' END, n * 1000 "
            "FROM b, generate_series(1, 3) n",
            (dice.randint(0, 3), dice.choice(STATUSES), dice.randint(1, 4)))  # fmt: skip
    elif what < 6:
        cursor.execute("UPDATE backups SET status = %s WHERE id IN " + some.format("backups", 3), (dice.choice(STATUSES),))
    elif what < 8:
        cursor.execute("UPDATE backup_destinations SET status = %s WHERE id IN " + some.format("backup_destinations", 4),
                       (dice.choice(("pending", "uploading", "completed", "failed")),))  # fmt: skip
    elif what == 8:
        cursor.execute("UPDATE backup_destinations SET file_size = %s WHERE id IN " + some.format("backup_destinations", 4),
                       (dice.choice((None, 5, 1 << 40)),))  # fmt: skip
    elif what == 9:
        cursor.execute("DELETE FROM backup_destinations WHERE id IN " + some.format("backup_destinations", 1))
    elif what == 10:
        cursor.execute("DELETE FROM backups WHERE id IN " + some.format("backups", 1))
    else:
        cursor.execute("SELECT bm_fold_statistics(%s)", (dice.choice((1, 7, 1000)),))


def test_as_counted(bm):
    """One session; what is kept is compared after each change."""
    dice = random.Random(5)
    with bm.postgres.connect(bm.database) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        begin(cursor)
        for n in range(400):
            act(cursor, dice)
            if n % 50 == 49:  # rarer things
                cursor.execute("UPDATE backups SET schedule_id = NULL WHERE schedule_id = %s", (dice.randint(1, 3),))
                cursor.execute("UPDATE backups SET database_id = 3 - database_id WHERE id % 5 = 0")
            cursor.execute(DIFFERENCE)
            assert cursor.fetchall() == [], n
        cursor.execute("SELECT bm_fold_statistics(1000000)")
        cursor.execute(DIFFERENCE)
        assert cursor.fetchall() == []
        cursor.execute("SELECT count(*) FROM backup_statistics_changes")
        assert cursor.fetchone() == (0,)
        cursor.execute("TRUNCATE backup_destinations")
        cursor.execute(DIFFERENCE)
        assert cursor.fetchall() == []
        cursor.execute("TRUNCATE backups CASCADE")
        cursor.execute("SELECT count(*) FROM backup_statistics")
        assert cursor.fetchone() == (0,)


def test_as_counted_by_many(bm):
    """Sessions that change the same rows at once, some of them in vain, while another folds; and one that watches."""
    with bm.postgres.connect(bm.database) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        begin(cursor)
    over, differences = threading.Event(), []

    def change(seed):
        import psycopg2

        dice = random.Random(seed)
        with bm.postgres.connect(bm.database) as mine, mine.cursor() as cursor:
            for _ in range(150):
                try:
                    for _ in range(dice.randint(1, 3)):
                        act(cursor, dice)
                    mine.commit() if dice.random() < 0.8 else mine.rollback()
                except (psycopg2.errors.DeadlockDetected, psycopg2.errors.ForeignKeyViolation):
                    mine.rollback()

    def watch():
        with bm.postgres.connect(bm.database) as mine, mine.cursor() as cursor:
            mine.autocommit = True
            while not over.is_set():
                cursor.execute(DIFFERENCE)
                differences.extend(cursor.fetchall())

    threads = [threading.Thread(target=change, args=(seed,)) for seed in range(6)]
    watcher = threading.Thread(target=watch)
    watcher.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    watcher.join()
    assert differences == []
    assert bm.query(DIFFERENCE) == [] and bm.value("SELECT count(*) FROM backups") > 0


def test_what_was_there_before(bm):
    """The step itself counts what it finds."""
    with bm.postgres.connect(bm.database) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        begin(cursor)
        dice = random.Random(7)
        for _ in range(100):
            act(cursor, dice)
    bm.ctl("migrate", "down", "--to", "3")
    assert bm.value("SELECT to_regclass('backup_statistics')") is None
    bm.ctl("migrate", "up")
    assert bm.query(DIFFERENCE) == []


def test_folded_by_maintenance(bm):
    bm.destination("disk")
    bm.command_database("greeting", "echo", "hello")
    bm.assign("greeting", "disk")
    bm.worker()
    backups = [bm.run("greeting") for _ in range(3)]
    bm.wait_ended(*backups)
    assert [bm.backup(backup)["status"] for backup in backups] == ["completed"] * 3, bm.describe(*backups)
    wait_for(lambda: bm.value("SELECT count(*) FROM backup_statistics_changes") == 0, what=lambda: bm.describe(*backups))
    assert bm.query("SELECT total, completed, unfinished, copies FROM backup_statistics WHERE total > 0 OR copies > 0") == [
        {"total": 3, "completed": 3, "unfinished": 0, "copies": 3}]  # fmt: skip


@pytest.mark.parametrize("folded", (False, True))
def test_latest_success_that_is_gone(bm, folded):
    """After the latest success was deleted or retried the one before is the latest, folded or not."""
    with bm.postgres.connect(bm.database) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        begin(cursor)
        cursor.execute("INSERT INTO backups (name, database_id, status, created_by) SELECT 'b' || n, 1, status, "
                       "(SELECT min(id) FROM users) FROM unnest(%s) WITH ORDINALITY AS s (status, n) RETURNING id",
                       (["completed", "completed", "completed", "failed"],))  # fmt: skip
        last = max(row[0] for row in cursor.fetchall())
        cursor.execute("SELECT bm_fold_statistics(1000)")
        cursor.execute("DELETE FROM backups WHERE id = %s", (last - 1,))
        cursor.execute("UPDATE backups SET status = 'pending' WHERE id = %s", (last - 2,))
        if folded:
            cursor.execute("SELECT bm_fold_statistics(1000)")
            cursor.execute("SELECT last_success_id FROM backup_statistics")
            assert cursor.fetchall() == [(last - 3,)]
