"""Rows of databases and backups by plain SQL, as the specification's application and the older system make them."""

import os


def insert(bm, table, **row):
    """The new row's id. created_by is filled in where the table has it."""
    if table in ("databases", "schedules", "backups", "groups"):
        row.setdefault("created_by", bm.value("SELECT min(id) FROM users"))
    return bm.query(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))}) RETURNING id", *row.values()
    )[0]["id"]


def add_database(bm, name="production", **columns):
    row = {
        "name": name, "db_type": "postgresql", "host": "db.example", "port": 5432, "username": "reader",
        "database_name": "production", "password_encrypted": "fernet-secret-token", "password_ref": "env:HIDDEN_REFERENCE",
        "connection_options": '{"sslpassword": "option-secret"}', **columns,
    }  # fmt: skip
    return insert(bm, "databases", **row)


def add_schedule(bm, database, name, **columns):
    return insert(bm, "schedules", **{"database_id": database, "name": name, "schedule_type": "cron",
                                      "cron_expression": "0 3 * * *", **columns})  # fmt: skip


def add_backup(bm, database, name, status="completed", **columns):
    return insert(bm, "backups", name=name, database_id=database, status=status, **columns)


def add_copy(bm, backup, storage_type, file_path, status="completed", **columns):
    return insert(bm, "backup_destinations", backup_id=backup, storage_type=storage_type, file_path=file_path,
                  status=status, **columns)  # fmt: skip


def write(path, size):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.truncate(size)
    return path
