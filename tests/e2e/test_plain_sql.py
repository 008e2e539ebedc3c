"""Rows made by the specification's application through its ORM, with none of our columns: workers alone upload them."""

import os


def insert_backup(bm, source):
    database = bm.value("SELECT id FROM databases WHERE name = %s", source)
    user = bm.value("SELECT id FROM users LIMIT 1")
    return bm.value(
        "INSERT INTO backups (name, database_id, status, created_by, is_compressed, compression_type) "
        "VALUES ('db_backup_20251102_080000', %s, 'in_progress', %s, true, 'gzip') RETURNING id",
        database,
        user,
    )


def insert_destination(bm, backup, kind, name, path, base=None, config=None, priority=0):
    return bm.value(
        "INSERT INTO backup_destinations (backup_id, storage_type, storage_name, file_path, base_path, storage_config, "
        "status, priority) VALUES (%s, %s, %s, %s, %s, %s, 'pending', %s) RETURNING id",
        backup, kind, name, path, base, config, priority,
    )  # fmt: skip


def test_workers_alone(bm):
    bm.command_database("app", "echo", "from the application")
    bm.worker()
    main, external = bm.directory("main"), bm.directory("external_hdd")
    backup = insert_backup(bm, "app")
    insert_destination(bm, backup, "local", "Main Storage", "backups/2025/11/02/backup.sql.gz", main)
    insert_destination(bm, backup, "local_external", "External HDD", "postgresql_backups/backup.sql.gz", external, None, 1)
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    for row in bm.rows(backup):
        bm.assert_whole(row)
        assert row["updated_at"] is not None
    assert os.path.exists(os.path.join(main, "backups/2025/11/02/backup.sql.gz"))
    assert os.path.exists(os.path.join(external, "postgresql_backups/backup.sql.gz"))
    bm.fsck()


def test_one_store_that_cannot_be_reached(bm):
    """The specification's own example has a third row, on s3; without it or its credentials that copy fails alone."""
    bm.command_database("app", "echo", "from the application")
    bm.worker(BM_MAX_ATTEMPTS="2")
    main = bm.directory("main")
    backup = insert_backup(bm, "app")
    insert_destination(bm, backup, "local", "Main Storage", "backup.sql.gz", main)
    insert_destination(bm, backup, "s3", "AWS S3 Backup", "backups/2025/11/02/backup.sql.gz", None,
                       '{"bucket": "my-backups", "region": "us-east-1", "endpoint": "http://127.0.0.1:9"}', 2)  # fmt: skip
    assert bm.wait_ended(backup)["status"] == "partial", bm.describe(backup)
    good, bad = bm.rows(backup)
    bm.assert_whole(good)
    assert bad["status"] == "failed" and bad["error_message"]


def test_relative_base_is_the_legacy_one(bm):
    bm.command_database("app", "echo", "from the application")
    os.mkdir(bm.env["BM_LEGACY_BASE_PATH"])
    bm.worker()
    backup = insert_backup(bm, "app")
    insert_destination(bm, backup, "local", "Main Storage", "x/backup.sql.gz")
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    assert os.path.exists(os.path.join(bm.env["BM_LEGACY_BASE_PATH"], "x/backup.sql.gz"))


def test_paths_out_of_the_base_are_refused(bm):
    bm.command_database("app", "echo", "from the application")
    bm.worker()
    base, outside = bm.directory("base"), bm.directory("outside")
    os.symlink(outside, os.path.join(base, "way-out"))
    os.symlink(os.path.join(outside, "file"), os.path.join(base, "link.gz"))
    paths = ["../outside/a.gz", "a/../../outside/b.gz", os.path.join(outside, "c.gz"), "way-out/d.gz", "link.gz", "", "."]
    backup = insert_backup(bm, "app")
    for n, path in enumerate(paths):
        insert_destination(bm, backup, "local", f"evil {n}", path, base)
    insert_destination(bm, backup, "local", "good", "good.gz", base)
    assert bm.wait_ended(backup)["status"] == "partial", bm.describe(backup)
    *evil, good = sorted(bm.rows(backup), key=lambda row: row["id"])
    bm.assert_whole(good)
    for row in evil:
        assert row["status"] == "failed" and row["error_message"], row
    for row in evil[:4]:
        assert row["attempts"] == 1, row  # never retried: no patience makes such a path safe
    assert os.listdir(outside) == []
    bm.assert_tidy(base)


def test_history_is_left_alone(bm, wait_for):
    bm.command_database("app", "echo", "from the application")
    base = bm.directory("base")
    backup = insert_backup(bm, "app")
    row = insert_destination(bm, backup, "local", "Primary Storage (migrated)", "old.gz", base)
    bm.query("UPDATE backups SET origin = 'migrated' WHERE id = %s", backup)
    bm.query("UPDATE backup_destinations SET origin = 'migrated' WHERE id = %s", row)
    other = bm.value(
        "INSERT INTO backups (name, database_id, status, created_by) SELECT 'later', database_id, 'in_progress', created_by "
        "FROM backups LIMIT 1 RETURNING id"
    )
    insert_destination(bm, other, "local", "Main", "new.gz", base)
    bm.worker()
    bm.wait_ended(other)
    assert bm.rows(backup)[0]["status"] == "pending" and not os.path.exists(os.path.join(base, "old.gz"))
    assert bm.redis.client().hget("bm:{default}:jobs", f"upload:{row}") is None


def test_an_unfinished_upload_that_nobody_holds(bm):
    """A row left `uploading` by other hands, without any lease, is taken like one whose worker fell silent."""
    bm.command_database("app", "echo", "from the application")
    main = bm.directory("main")
    backup = insert_backup(bm, "app")
    row = insert_destination(bm, backup, "local", "Main Storage", "backup.sql.gz", main)
    bm.query("UPDATE backup_destinations SET status = 'uploading' WHERE id = %s", row)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    bm.assert_whole(bm.rows(backup)[0])
