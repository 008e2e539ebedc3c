"""backupctl migrate on databases that the older system filled: up, down, up again, in both of its spellings."""

import concurrent.futures
import json
import subprocess
from datetime import datetime, timezone

import psycopg2
import pytest
from harness.system import System

ENUMS = {
    "storagetype": ["LOCAL", "S3", "MINIO", "SPACES", "BACKBLAZE"],
    "backupstatus": ["PENDING", "IN_PROGRESS", "COMPLETED", "FAILED", "PARTIAL"],
    "databasetype": ["POSTGRESQL", "MYSQL", "MONGODB", "REDIS"],
    "scheduletype": ["CRON", "INTERVAL", "MANUAL"],
}

TABLES = """
CREATE TABLE users (
    id serial PRIMARY KEY, username varchar NOT NULL, email varchar NOT NULL, hashed_password varchar NOT NULL,
    is_active boolean, is_admin boolean, created_at {time} DEFAULT now(), updated_at {time});
CREATE UNIQUE INDEX ix_users_username ON users (username);
CREATE TABLE groups (
    id serial PRIMARY KEY, name varchar NOT NULL UNIQUE, description text,
    created_by integer NOT NULL REFERENCES users (id), created_at {time} DEFAULT now(), updated_at {time});
CREATE TABLE databases (
    id serial PRIMARY KEY, name varchar NOT NULL, description text, db_type {databasetype} NOT NULL,
    host varchar NOT NULL, port integer NOT NULL, username varchar, password_encrypted text, database_name varchar,
    connection_options text, group_id integer NOT NULL REFERENCES groups (id), is_active boolean,
    created_by integer NOT NULL REFERENCES users (id), created_at {time} DEFAULT timezone('utc', now()),
    updated_at {time}, last_backup_at {time});
CREATE TABLE schedules (
    id serial PRIMARY KEY, name varchar NOT NULL, description text, schedule_type {scheduletype} NOT NULL,
    cron_expression varchar, interval_value varchar, retention_days integer, max_backups integer,
    database_id integer NOT NULL REFERENCES databases (id), is_active boolean, last_run_at {time},
    next_run_at {time}, created_by integer NOT NULL REFERENCES users (id), created_at {time},
    updated_at {time});
CREATE TABLE backups (
    id serial PRIMARY KEY, name varchar NOT NULL, database_id integer NOT NULL REFERENCES databases (id),
    schedule_id integer REFERENCES schedules (id), storage_type {storagetype} {required}, file_path {path} {required},
    file_size bigint, checksum varchar, status {backupstatus} NOT NULL DEFAULT {pending}, error_message text,
    started_at {time}, completed_at {time}, duration_seconds integer,
    created_by integer NOT NULL REFERENCES users (id), created_at {time}, is_compressed boolean,
    is_encrypted boolean, compression_type varchar);
CREATE INDEX ix_backups_status ON backups (status);
"""

# Facts about each build of the older system that is still about.
BUILDS = {
    "enum": {"enum": True, "later": False, "time": "timestamp"},
    "enum-later": {"enum": True, "later": True, "time": "timestamp"},
    "text": {"enum": False, "later": False, "time": "timestamptz"},
    "text-later": {"enum": False, "later": True, "time": "timestamptz"},
}

# 05:30 UTC on that day is the first of New York's two half past one; 02:30 on 9 March does not exist there.
TWICE = datetime(2025, 11, 2, 5, 30)
NEVER = datetime(2025, 3, 9, 2, 30)
MADE = datetime(2025, 3, 9, 2, 29, 59)


def backup(name, path, status="completed", storage="local", size=None, checksum=None, error=None, start=None, end=None,
           seconds=None, results=None):  # fmt: skip
    return {
        "name": name, "file_path": path, "status": status, "storage_type": storage, "file_size": size,
        "checksum": checksum, "error_message": error, "started_at": start, "completed_at": end,
        "duration_seconds": seconds, "destination_results": results,
    }  # fmt: skip


# What every build holds; the first of each pair is the row, the second its destination (None: it has none).
PRIMARY = [
    (backup("a_1", "a/a_1.sql.gz", size=35840000, checksum="a3f2", start=NEVER, end=TWICE, seconds=45),
     dict(file_path="a/a_1.sql.gz", status="completed")),
    (backup("a_2", "a/a_2.sql.gz", status="pending"), dict(file_path="a/a_2.sql.gz", status="pending")),
    (backup("a_3", "bucket/è/数据库.gz", status="failed", storage="s3", error="connexion refusée"),
     dict(file_path="bucket/è/数据库.gz", status="failed", error_message="connexion refusée")),
    (backup("a_4", "a/a_4.sql.gz", status="in_progress", start=TWICE),
     dict(file_path="a/a_4.sql.gz", status="failed",
          error_message="the backup was in progress when the database was migrated, its end is unknown")),
    (backup("a_5", "a/a_5.sql.gz", status="partial", storage="minio", error="nas: timeout"),
     dict(file_path="a/a_5.sql.gz", status="failed",
          error_message="the older system recorded this backup as partial, which copy is whole is unknown: nas: timeout")),
    (backup("a_6", "/var/backups/été/a_6.sql.gz", storage="spaces"),
     dict(file_path="var/backups/été/a_6.sql.gz", base_path="/", status="completed")),
    (backup("a_7", "//var//a_7.sql.gz", storage="backblaze"),
     dict(file_path="var//a_7.sql.gz", base_path="/", status="completed")),
    (backup("a_8", "", status="failed", error="no dump"), None),
]  # fmt: skip

# What only later builds can hold.
LATER = [
    (backup("b_1", None, storage=None, status="failed", error="nothing written"), None),
    (backup("b_2", "b/b_2.gz", storage=None), dict(storage_type="local", file_path="b/b_2.gz", status="completed")),
]


class Old:
    """A database as the older system left it."""

    def __init__(self, build, postgres, name, system):
        self.build, self.postgres, self.name, self.system = build, postgres, name, system
        self.facts = BUILDS[build]
        self.connection = postgres.connect(name)

    def execute(self, sql, *args):
        with self.connection.cursor() as cursor:
            cursor.execute(sql, args or None)
            return cursor.fetchall() if cursor.description else None

    def value(self, sql, *args):
        return self.execute(sql, *args)[0][0]

    def label(self, value):
        return value.upper() if value is not None and self.facts["enum"] else value

    def time(self, value):
        if value is None or self.facts["time"] == "timestamp":
            return value
        return value.replace(tzinfo=timezone.utc)

    def create(self):
        enum = self.facts["enum"]
        for name, labels in ENUMS.items():
            if enum:
                self.execute(f"CREATE TYPE {name} AS ENUM ({', '.join(repr(x) for x in labels)})")
        types = {name: name if enum else "text" for name in ENUMS}
        self.execute(TABLES.format(
            **types, time=self.facts["time"], required="" if self.facts["later"] else "NOT NULL",
            path="varchar" if enum else "text", pending="'PENDING'" if enum else "'pending'"))  # fmt: skip
        self.execute("INSERT INTO users (username, email, hashed_password) VALUES ('admin', 'a@b.example', 'x')")
        self.execute("INSERT INTO groups (name, created_by) VALUES ('tous', 1)")
        for name, kind in (("production", "postgresql"), ("caffè", "mysql"), ("cache", "redis")):
            self.execute(
                "INSERT INTO databases (name, db_type, host, port, group_id, created_by, created_at, last_backup_at)"
                " VALUES (%s, %s, 'h', 1, 1, 1, %s, %s)",
                name, self.label(kind), self.time(MADE), self.time(TWICE))  # fmt: skip
        self.execute(
            "INSERT INTO schedules (name, schedule_type, cron_expression, database_id, next_run_at, created_by)"
            " VALUES ('ogni ora', %s, '0 * * * *', 1, %s, 1)",
            self.label("cron"), self.time(TWICE))  # fmt: skip
        if self.facts["later"]:
            self.execute("ALTER TABLE backups ADD COLUMN destination_results text")
            self.execute(
                "CREATE TABLE database_destinations (id serial PRIMARY KEY, database_id integer NOT NULL REFERENCES"
                f" databases (id), path varchar NOT NULL, enabled boolean, created_at {self.facts['time']})"
            )
        return self

    def fill(self, rows):
        for row in rows:
            self.insert(row)
        return self

    def insert(self, row):
        """As the older program inserts: every column, its own labels."""
        row = dict(row, database_id=1, created_by=1, created_at=self.time(MADE), is_compressed=True)
        for column in ("status", "storage_type"):
            row[column] = self.label(row[column])
        for column in ("started_at", "completed_at"):
            row[column] = self.time(row[column])
        if not self.facts["later"]:
            row.pop("destination_results")
        names = list(row)
        return self.value(
            f"INSERT INTO backups ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) RETURNING id",
            *row.values())  # fmt: skip

    def rows(self, table, order="id"):
        """As dictionaries of values that don't depend on the session's time zone."""
        with self.connection.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")
            cursor.execute(f"SELECT * FROM {table} ORDER BY {order}")
            rows = [dict(zip([c.name for c in cursor.description], row)) for row in cursor]
            cursor.execute("RESET timezone")
        return rows

    def content(self):
        return {t: self.rows(t) for t in ("users", "groups", "databases", "schedules", "backups")}

    def schema(self):
        """All that pg_dump knows of it, but our own record of what is applied."""
        dump = subprocess.run(
            [f"{self.postgres.bin}/pg_dump", "--schema-only", "--exclude-table=schema_migrations",
             self.postgres.dsn(self.name)],
            capture_output=True, text=True, check=True).stdout  # fmt: skip
        return [line for line in dump.splitlines() if "restrict" not in line]

    def migrate(self, *args, **kwargs):
        return self.system.ctl("migrate", *args, **kwargs)

    def refused(self, *args, **kwargs):
        """The one line that a refused command says."""
        done = self.migrate(*args, check=False, **kwargs)
        assert done.returncode in (1, 2)
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, done.stderr
        return lines[0]

    def destinations(self, name):
        """Of the backup of that name, in order."""
        return self.rows("backup_destinations WHERE backup_id = (SELECT id FROM backups WHERE name = '%s')" % name,
                         "priority, id")  # fmt: skip


@pytest.fixture
def old(postgres, programs, tmp, empty_database):
    """old(build, timezone=None): one database of the older system"""

    def make(build, zone=None):
        if zone is not None:
            postgres.execute("postgres", f"ALTER DATABASE \"{empty_database}\" SET timezone = '{zone}'")
        from conftest import base_environment

        environment = base_environment(tmp, postgres.dsn(empty_database), "unix:///nowhere")
        system = System(programs, postgres, None, empty_database, tmp, environment)
        return Old(build, postgres, empty_database, system)

    return make


def check_primary(database, row, expected):
    found = database.destinations(row["name"])
    if expected is None:
        assert found == []
        return
    wanted = {
        "storage_type": row["storage_type"], "storage_name": "Primary Storage (migrated)", "base_path": None,
        "storage_config": None, "file_size": row["file_size"], "checksum": row["checksum"], "error_message": None,
        "upload_started_at": row["started_at"], "upload_completed_at": row["completed_at"],
        "upload_duration_seconds": row["duration_seconds"], "created_at": MADE, "updated_at": None, "priority": 0,
        "origin": "migrated", "destination_id": None, "attempts": 0, **expected,
    }  # fmt: skip
    assert len(found) == 1
    assert {k: found[0][k] for k in wanted} == wanted


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("build", BUILDS)
def test_there_and_back_and_there_again(old, build, zone):
    cases = PRIMARY + (LATER if BUILDS[build]["later"] else [])
    database = old(build, zone).create().fill(row for row, _ in cases)
    schema, content = database.schema(), database.content()

    database.migrate("up")
    for row, expected in cases:
        check_primary(database, row, expected)
    after = database.rows("backups")
    for row, before in zip(after, content["backups"]):
        utc = {k: v.replace(tzinfo=timezone.utc) if isinstance(v, datetime) else v for k, v in before.items()}
        for column in ("storage_type", "status"):
            utc[column] = utc[column] and utc[column].lower()
        assert {k: row[k] for k in utc} == utc
        assert row["origin"] == "migrated"
    assert database.rows("databases")[0]["last_backup_at"] == TWICE.replace(tzinfo=timezone.utc)
    assert [d["db_type"] for d in database.rows("databases")] == ["postgresql", "mysql", "redis"]
    first = database.rows("backup_destinations")

    database.migrate("down", "--to", "0")
    assert database.schema() == schema
    for row in content["backups"]:  # the one thing that a destination always has
        if row["storage_type"] is None and row["file_path"]:
            row["storage_type"] = database.label("local")
    assert database.content() == content
    database.insert(backup("again", "x/y.gz", status="in_progress", storage="s3"))
    with pytest.raises(psycopg2.Error):
        database.insert(backup("null", "x/y.gz", status=None))
    database.execute("DELETE FROM backups WHERE name = 'again'")

    database.migrate("up")
    assert database.rows("backup_destinations") == first


@pytest.mark.parametrize("build", ["enum", "text"])
def test_new_rows_are_native_and_come_without_our_columns(old, build):
    database = old(build).create().fill([PRIMARY[0][0]])
    database.migrate("up")
    database.execute(
        "INSERT INTO backups (name, database_id, status, created_by, is_compressed, compression_type)"
        " VALUES ('n_1', 1, 'in_progress', 1, true, 'gzip')"
    )
    database.execute(
        "INSERT INTO backup_destinations (backup_id, storage_type, storage_name, file_path, base_path, status, priority)"
        " SELECT max(id), 'local_external', 'External HDD', 'x/backup.sql.gz', '/mnt/external_hdd', 'pending', 1"
        " FROM backups"
    )
    assert [b["origin"] for b in database.rows("backups")] == ["migrated", "native"]
    assert [d["origin"] for d in database.rows("backup_destinations")] == ["migrated", "native"]
    row = database.rows("backup_destinations")[1]
    apart = database.value(
        "SELECT abs(extract(epoch FROM created_at - clock_timestamp() AT TIME ZONE 'UTC')) FROM backup_destinations"
        " WHERE id = %s", row["id"])  # fmt: skip
    assert apart < 600
    for column, value in (("storage_type", "floppy"), ("storage_type", "LOCAL"), ("status", "done")):
        with pytest.raises(psycopg2.errors.CheckViolation):
            database.execute(f"UPDATE backup_destinations SET {column} = %s", value)
    with pytest.raises(psycopg2.errors.CheckViolation):
        database.execute("UPDATE backups SET status = 'COMPLETED'")
    database.execute("DELETE FROM backups WHERE name = 'n_1'")
    assert len(database.rows("backup_destinations")) == 1


@pytest.mark.parametrize("build", ["enum", "text"])
def test_down_keeps_the_first_copy_of_each_backup(old, build):
    database = old(build, "America/New_York").create().fill(row for row, _ in PRIMARY[:1])
    database.migrate("up")
    database.execute("INSERT INTO databases (name, db_type, source_path, created_by) VALUES ('/etc', 'directory', '/etc', 1)")
    native = {
        "n_1": [("s3", "k/1", None, 2, 10, "aa"), ("local_external", "x/1", "/mnt/hdd", 1, 20, "bb")],
        "n_2": [("gcs", "k/2", None, 1, 30, "cc"), ("azure_blob", "k/2b", None, 1, 40, "dd")],
        "n_3": [("local", "x/3", "/app/backups", None, 50, "ee"), ("s3", "k/3", None, 1, 60, "ff")],
        "n_4": [],
    }
    for name, copies in native.items():
        database.execute("INSERT INTO backups (name, database_id, status, created_by) VALUES (%s, 4, 'partial', 1)", name)
        for copy in copies:
            database.execute(
                "INSERT INTO backup_destinations (backup_id, storage_type, file_path, base_path, priority, file_size,"
                " checksum, status) SELECT max(id), %s, %s, %s, %s, %s, %s, 'completed' FROM backups", *copy)  # fmt: skip

    assert "005" in database.migrate("down").stdout
    assert "004" in database.migrate("down").stdout
    assert "003" in database.migrate("down").stdout
    assert "002" in database.migrate("down").stdout
    assert database.value("SELECT to_regclass('destinations') IS NULL AND to_regclass('backup_destinations') IS NOT NULL")
    assert "001" in database.migrate("down").stdout
    assert database.value("SELECT to_regclass('backup_destinations') IS NULL")

    found = {b["name"]: (b["storage_type"], b["file_path"], b["file_size"], b["checksum"]) for b in database.rows("backups")}
    assert found == {
        "a_1": (database.label("local"), "a/a_1.sql.gz", 35840000, "a3f2"),
        "n_1": (database.label("local_external"), "x/1", 20, "bb"),
        "n_2": (database.label("gcs"), "k/2", 30, "cc"),
        "n_3": (database.label("local"), "x/3", 50, "ee"),
        "n_4": (database.label("local"), "", None, None),
    }
    row = database.rows("databases")[3]
    group = database.rows("groups")[1]
    assert (row["db_type"], row["host"], row["port"], row["group_id"]) == (database.label("directory"), "", 0, group["id"])
    assert group["name"] == "ungrouped"
    if BUILDS[build]["enum"]:
        labels = {
            name: database.value("SELECT array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum"
                                 " WHERE enumtypid = %s::regtype", name)
            for name in ENUMS
        }  # fmt: skip
        assert labels == {
            **ENUMS,
            "storagetype": [*ENUMS["storagetype"], "GCS", "LOCAL_EXTERNAL"],
            "databasetype": [*ENUMS["databasetype"], "DIRECTORY"],
        }
    # NOT NULL is back, and the older program writes.
    for column in ("storage_type", "file_path"):
        with pytest.raises(psycopg2.errors.NotNullViolation):
            database.execute(f"UPDATE backups SET {column} = NULL")
    for column in ("host", "port", "group_id"):
        with pytest.raises(psycopg2.errors.NotNullViolation):
            database.execute(f"UPDATE databases SET {column} = NULL")
    database.insert(backup("o_1", "a/o_1.gz", status="completed", start=TWICE))
    assert database.rows("backups")[-1]["started_at"].replace(tzinfo=None) == TWICE

    database.migrate("up")
    assert [(d["storage_type"], d["status"]) for d in database.destinations("n_1")] == [("local_external", "failed")]
    assert database.destinations("o_1")[0]["upload_started_at"] == TWICE
    assert database.destinations("n_4") == []


def entry(success=True, path=None, size=None, error=None):
    return {"success": success, "file_path": path, "size_mb": size, "error": error}


# file_path of the backup, destination_results, (base_path, file_path, status, size, error) of the further rows
RESULTS = {
    "two in order": (
        "a/1.gz",
        {"/mnt/z": entry(path="/mnt/z/a/1.gz", size=1.5), "/mnt/ä": entry(False, error="disco pieno")},
        [("/mnt/z", "a/1.gz", "completed", 1572864, None), ("/mnt/ä", "a/1.gz", "failed", None, "disco pieno")],
    ),
    "relative, trailing slash": (
        "a/2.gz", {"/mnt/nas/": entry(path="b/2.gz", size=2)}, [("/mnt/nas", "b/2.gz", "completed", 2097152, None)]),
    "not under its key": (
        "a/3.gz", {"/mnt/nas": entry(path="/srv/3.gz")}, [("/", "srv/3.gz", "completed", None, None)]),
    "no reason": (
        "/abs/4.gz", {"/mnt/nas": {"success": False}},
        [("/mnt/nas", "4.gz", "failed", None, "the older system recorded a failure without a reason")]),
    "equal to the main copy": ("/mnt/nas/a/5.gz", {"/mnt/nas": entry(path="/mnt/nas/a/5.gz", size=1)}, []),
    "equal in other words": ("a/6.gz", {"./backups": entry(path="./backups/a/6.gz")}, []),
    "twice": (
        "a/7.gz", {"/mnt/nas": entry(path="a/7.gz"), "/mnt/nas/": entry(path="/mnt/nas//a/7.gz")},
        [("/mnt/nas", "a/7.gz", "completed", None, None)]),
    "without a main copy": (
        None, {"/mnt/nas": entry(path="/mnt/nas/8.gz", size=0.25)}, [("/mnt/nas", "8.gz", "completed", 262144, None)]),
    "root": ("a/9.gz", {"/": entry(path="/9.gz")}, [("/", "9.gz", "completed", None, None)]),
    "nothing": ("a/10.gz", {}, []),
    "odd entry": ("a/11.gz", {"/x": 7, "/mnt/nas": entry(path="11.gz", size="big")},
                  [("/mnt/nas", "11.gz", "completed", None, None)]),
    "cut off": ("a/12.gz", '{"/mnt/nas": {"succ', []),
    "not a number": ("a/13.gz", '{"/mnt/nas": {"success": true, "size_mb": NaN}}', []),
    "a list": ("a/14.gz", "[1, 2]", []),
    "NUL": ("a/15.gz", '{"/mnt/nas": {"success": true, "file_path": "a\\u0000b"}}', []),
    "too large": ("a/16.gz", '{"/mnt/nas": {"success": true, "size_mb": 1e300}}', []),
    "deep": ("a/17.gz", "[" * 100000, []),
    "empty text": ("a/18.gz", "", []),
}  # fmt: skip


@pytest.mark.parametrize("build", ["enum-later", "text-later"])
def test_destination_results_become_rows(old, build):
    database = old(build, "America/New_York").create()
    for name, (path, results, _) in RESULTS.items():
        text = results if isinstance(results, str) else json.dumps(results)
        database.insert(backup(name, path, storage=None if path is None else "local", results=text))
    content = database.content()
    done = database.migrate("up")
    for name in ("cut off", "not a number", "a list", "NUL", "too large", "deep", "odd entry"):
        assert f"({name})" in done.stderr
    first = database.rows("backup_destinations")
    for name, (path, _, copies) in RESULTS.items():
        rows = database.destinations(name)
        if path is not None:
            main = rows.pop(0)
            assert (main["priority"], main["status"]) == (0, "completed")
        found = [(d["base_path"], d["file_path"], d["status"], d["file_size"], d["error_message"]) for d in rows]
        assert found == copies, name
        assert [d["priority"] for d in rows] == list(range(1, len(rows) + 1))
        assert all(d["storage_type"] == "local_external" and d["created_at"] == MADE for d in rows)

    # A backup that had no main copy gets its first one as the main one; the JSON itself was never touched.
    database.migrate("down", "--to", "0")
    for row in content["backups"]:
        if row["name"] == "without a main copy":
            row.update(storage_type=database.label("local_external"), file_path="/mnt/nas/8.gz", file_size=262144)
    assert database.content() == content
    database.migrate("up")
    again = database.rows("backup_destinations")
    assert len(again) == len(first)
    assert [d["base_path"] for d in database.destinations("without a main copy")] == ["/"]


LISTED = [  # database, path, enabled
    (1, "/mnt/nas", True), (1, "/mnt/disco esterno/", True), (2, "/mnt/nas/", False), (2, "/mnt-nas", None),
    (3, "/mnt/disco esterno", True), (3, "/spento", False), (1, "/", True), (1, "", True),
]  # fmt: skip


@pytest.mark.parametrize("build", ["enum-later", "text-later"])
def test_listed_directories_become_destinations(old, build):
    database = old(build, "Asia/Kolkata").create()
    for row in LISTED:
        database.execute("INSERT INTO database_destinations (database_id, path, enabled, created_at)"
                         " VALUES (%s, %s, %s, %s)", *row, database.time(MADE))  # fmt: skip
    before = database.rows("database_destinations")
    database.migrate("up")
    found = database.execute(
        "SELECT d.name, d.storage_type, d.base_path, d.enabled,"
        " array_agg(row(a.database_id, a.enabled)::text ORDER BY a.database_id)"
        " FROM destinations d JOIN destination_assignments a ON a.destination_id = d.id"
        " WHERE a.schedule_id IS NULL GROUP BY d.id ORDER BY d.id"
    )
    assert found == [
        ("mnt-nas", "local_external", "/mnt/nas", True, ["(1,t)", "(2,f)"]),
        ("mnt-disco esterno", "local_external", "/mnt/disco esterno", True, ["(1,t)", "(3,t)"]),
        ("mnt-nas-2", "local_external", "/mnt-nas", True, ["(2,t)"]),
        ("spento", "local_external", "/spento", False, ["(3,t)"]),
        ("root", "local_external", "/", True, ["(1,t)"]),
    ]

    # Down gives the list back, with what was changed meanwhile.
    database.execute("UPDATE destinations SET enabled = true WHERE name = 'spento'")
    database.execute("DELETE FROM destinations WHERE name = 'root'")
    database.execute("INSERT INTO destinations (name, storage_type, base_path) VALUES ('new', 'local_external', '/mnt/new')")
    database.execute("INSERT INTO destination_assignments (destination_id, database_id) SELECT max(id), 3 FROM destinations")
    database.migrate("down", "--to", "0")
    after = database.rows("database_destinations")
    assert after[-1].pop("created_at") is not None
    new = after.pop()
    assert (new["database_id"], new["path"], new["enabled"]) == (3, "/mnt/new", True)
    before[5]["enabled"] = True
    before[6]["enabled"] = False
    assert after == before
    database.migrate("up")
    assert database.value("SELECT count(*) FROM destinations") == 6


def test_text_in_upper_case_with_limits_and_checks(old):
    database = old("text").create()
    database.execute(
        "ALTER TABLE backups ALTER COLUMN status TYPE varchar(11) USING upper(status),"
        " ALTER COLUMN status SET DEFAULT 'PENDING',"
        " ADD CONSTRAINT backupstatus CHECK (status IN ('PENDING', 'IN_PROGRESS', 'COMPLETED', 'FAILED', 'PARTIAL'));"
        "ALTER TABLE databases ADD CONSTRAINT databasetype CHECK (db_type IN ('postgresql', 'mysql', 'redis'));"
        "INSERT INTO backups (name, database_id, storage_type, file_path, status, created_by)"
        " VALUES ('u_1', 1, 'local', 'u/1', 'IN_PROGRESS', 1), ('u_2', 1, 's3', 'u/2', 'COMPLETED', 1)"
    )

    def schema():  # PostgreSQL writes a CHECK on varchar differently each time that it reads it
        return [line.partition(" CHECK ")[0] for line in database.schema()]

    before, content = schema(), database.content()
    database.migrate("up")
    assert [d["status"] for d in database.rows("backup_destinations")] == ["failed", "completed"]
    database.execute("INSERT INTO databases (name, db_type, created_by) VALUES ('f', 'file', 1)")
    database.execute("DELETE FROM databases WHERE name = 'f'")
    database.migrate("down", "--to", "0")
    assert schema() == before and database.content() == content
    for table, column in (("backups", "status"), ("databases", "db_type")):
        with pytest.raises(psycopg2.errors.CheckViolation):
            database.execute(f"UPDATE {table} SET {column} = 'completed'")


def test_a_type_that_something_else_uses_keeps_its_users(old):
    database = old("enum").create().fill([PRIMARY[0][0]])
    database.execute("CREATE TABLE reports (id integer, kind storagetype DEFAULT 'S3'); INSERT INTO reports VALUES (1)")
    database.migrate("up")
    database.execute("UPDATE backup_destinations SET storage_type = 'gcs'")
    database.migrate("down", "--to", "0")
    assert database.rows("backups")[0]["storage_type"] == "GCS"
    database.execute("INSERT INTO reports VALUES (2); INSERT INTO reports VALUES (3, 'GCS')")
    assert [r["kind"] for r in database.rows("reports")] == ["S3", "S3", "GCS"]
    assert database.value("SELECT count(*) FROM pg_type WHERE typname LIKE 'storagetype%' AND typtype = 'e'") == 1


def test_defaults_of_plain_timestamps_are_utc(old):
    database = old("enum", "America/New_York").create()
    database.migrate("up")
    database.execute("INSERT INTO groups (name, created_by) VALUES ('g', 1)")
    database.execute("INSERT INTO databases (name, db_type, created_by) VALUES ('d', 'file', 1)")
    database.execute("INSERT INTO backups (name, database_id, created_by) VALUES ('b', 1, 1)")
    for table in ("groups", "databases", "backups"):
        apart = database.value(
            f"SELECT abs(extract(epoch FROM created_at - clock_timestamp())) FROM {table} ORDER BY id DESC LIMIT 1")
        assert apart < 600, table


def test_status_and_single_steps(old):
    database = old("text")

    def states():
        return [(r["version"], r["state"]) for r in database.migrate("status", json=True)]

    assert states() == [(0, "pending"), (1, "pending"), (2, "pending"), (3, "pending"), (4, "pending"), (5, "pending")]
    assert database.value("SELECT to_regclass('schema_migrations') IS NULL")
    assert "nothing to undo" in database.refused("down")
    database.migrate("up", "--to", "1")
    assert states() == [(0, "applied"), (1, "applied"), (2, "pending"), (3, "pending"), (4, "pending"), (5, "pending")]
    assert "002_destinations_and_queue is not applied" in database.refused("down", "--to", "2")
    database.migrate("up")
    database.migrate("up")
    assert states() == [(0, "applied"), (1, "applied"), (2, "applied"), (3, "applied"), (4, "applied"), (5, "applied")]
    database.migrate("down", "--to", "1")
    assert states() == [(0, "applied"), (1, "applied"), (2, "pending"), (3, "pending"), (4, "pending"), (5, "pending")]
    database.migrate("down")
    assert "000_legacy_schema can't be undone" in database.refused("down")
    assert states()[0] == (0, "applied")
    assert "no migration 7" in database.refused("up", "--to", "7")


def test_what_is_applied_must_be_what_we_have(old):
    database = old("text")
    database.migrate("up", "--to", "1")
    checksum = database.value("SELECT checksum FROM schema_migrations WHERE version = 1")
    database.execute("UPDATE schema_migrations SET checksum = repeat('0', 64) WHERE version = 1")
    for command in ("up", "down"):
        line = database.refused(command)
        assert "001_add_backup_destinations" in line and "checksum" in line
    assert [r["state"] for r in database.migrate("status", json=True)] == ["applied", "changed", "pending", "pending", "pending", "pending"]
    database.execute("UPDATE schema_migrations SET checksum = %s WHERE version = 1", checksum)

    database.execute("INSERT INTO schema_migrations VALUES (17, '017_from_the_future', 'x')")
    for command in ("up", "down"):
        assert "017_from_the_future" in database.refused(command)
    assert [r["state"] for r in database.migrate("status", json=True)] == ["applied", "applied", "pending", "pending", "pending", "pending", "unknown"]
    assert database.value("SELECT to_regclass('destinations') IS NULL")
    database.execute("DELETE FROM schema_migrations WHERE version = 17")

    database.execute("DELETE FROM schema_migrations WHERE version = 0")
    assert "000_legacy_schema before it is not" in database.refused("up")


def test_a_step_that_fails_changes_nothing(old):
    database = old("enum").create().fill([PRIMARY[0][0]])
    database.execute("CREATE VIEW report AS SELECT status FROM backups")
    schema, content = database.schema(), database.content()
    line = database.refused("up")
    assert "001_add_backup_destinations" in line and "rolled back" in line and "report" in line
    assert (database.schema(), database.content()) == (schema, content)
    assert database.value("SELECT max(version) FROM schema_migrations") == 0
    database.execute("DROP VIEW report")
    database.migrate("up")
    assert len(database.rows("backup_destinations")) == 1


@pytest.mark.parametrize("build", [None, "enum"])
def test_many_at_once(old, build):
    database = old(build or "text")
    if build:
        database.create().fill(row for row, _ in PRIMARY)
    argv = [*database.system.prefix, database.system.programs.backupctl, "migrate", "up"]
    running = [
        subprocess.Popen(argv, env=database.system.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    outputs = [process.communicate(timeout=120) for process in running]
    assert [p.returncode for p in running] == [0] * 6, outputs
    said = "".join(out for out, _ in outputs)
    for name in ("000_legacy_schema", "001_add_backup_destinations", "002_destinations_and_queue", "003_api", "004_statistics", "005_operations"):
        assert said.count(name) == 1
    expected = sum(e is not None for _, e in PRIMARY) if build else 0
    assert len(database.rows("backup_destinations")) == expected


@pytest.mark.parametrize(
    "url",
    [
        "postgres://me:hunter2@nowhere.invalid/db",
        "host=/nonexistent user=me password=hunter2",
        "postgres://me:hunter2/x@host/db",
        "postgres://me:a@hunter2@host/db",
        "host=h port=hunter2",
        "hunter2",
        "postgres://me:hunter2%zz@host/db",
    ],
)
def test_unreachable_or_unreadable_says_one_line_without_the_password(old, url):
    database = old("text")
    for command in (("up",), ("down",), ("status",)):
        assert "hunter2" not in database.refused(*command, env={"BM_DATABASE_URL": url})


@pytest.mark.parametrize("build", BUILDS)
def test_roles_are_kept_in_step_for_the_older_program(old, build):
    """003: whichever of role and is_admin a program writes, the other follows; down gives the older program its own."""
    database = old(build).create()
    database.execute(
        "INSERT INTO users (username, email, hashed_password, is_active, is_admin)"
        " VALUES ('capo', 'c@x', '$2b$12$old', true, true), ('ospite', 'o@x', '$2b$12$guest', true, false)"
    )

    def roles():
        return {u["username"]: (u["role"], u["is_admin"]) for u in database.rows("users") if u["username"] != "system"}

    database.migrate("up")
    assert roles() == {"admin": ("viewer", None), "capo": ("admin", True), "ospite": ("viewer", False)}
    database.execute("UPDATE users SET role = 'admin' WHERE username = 'ospite'")
    database.execute("UPDATE users SET is_admin = false WHERE username = 'capo'")
    database.execute("UPDATE users SET is_admin = true, email = 'n@x' WHERE username = 'admin'")
    assert roles() == {"admin": ("admin", True), "capo": ("viewer", False), "ospite": ("admin", True)}
    database.execute("UPDATE users SET role = 'operator' WHERE username = 'admin'")
    database.execute("UPDATE users SET is_admin = false WHERE username = 'admin'")  # an operator is none: stays one
    database.execute("INSERT INTO users (username, email, hashed_password, is_active, is_admin) VALUES ('vecchio', 'v@x', 'x', true, true)")
    assert roles()["admin"] == ("operator", False) and roles()["vecchio"] == ("admin", True)
    with pytest.raises(psycopg2.errors.CheckViolation):
        database.execute("UPDATE users SET role = 'root' WHERE username = 'capo'")

    # A hash that a login replaced waits for the way back.
    database.execute("INSERT INTO legacy_passwords SELECT id, hashed_password FROM users WHERE username = 'capo'")
    database.execute("UPDATE users SET hashed_password = '$7$new' WHERE username = 'capo'")
    database.execute("INSERT INTO groups (name, created_by) VALUES ('nuovo', 1)")
    assert database.value("SELECT count(*) FROM audit_log WHERE object_kind = 'group'") == 1
    database.migrate("down", "--to", "0")
    users = {u["username"]: (u["is_admin"], u["hashed_password"]) for u in database.rows("users")}
    assert users["capo"] == (False, "$2b$12$old") and users["ospite"] == (True, "$2b$12$guest") and users["vecchio"][0]
    for table in ("sessions", "api_tokens", "audit_log", "legacy_passwords"):
        assert database.value("SELECT to_regclass(%s) IS NULL", table)
    assert database.value("SELECT count(*) FROM pg_proc WHERE proname LIKE 'bm\\_%%'") == 0
    database.migrate("up")
    assert roles()["capo"] == ("viewer", False) and roles()["ospite"] == ("admin", True)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("first,then", [
    ("SELECT FROM backups FOR UPDATE; UPDATE backup_destinations SET fence = 1", "UPDATE backups SET duration_seconds = 1"),
    ("UPDATE backup_destinations SET fence = 1", "UPDATE backups SET duration_seconds = 1"),
    ("UPDATE schedules SET last_run_at = now()", "INSERT INTO backups (name, database_id, created_by) SELECT 'n', database_id, created_by FROM backups"),
])  # fmt: skip
def test_programs_that_run_on_meanwhile(old, wait_for, version, first, then):
    """What workers and the scheduler of the version before do in one transaction never ends in a deadlock."""
    database = old("text").create().fill([PRIMARY[0][0]])
    database.execute("INSERT INTO schedules (name, schedule_type, database_id, created_by) SELECT 's', 'manual', database_id, created_by FROM backups")
    database.migrate("up", "--to", str(version - 1))
    worker = database.postgres.connect(database.name)
    worker.autocommit = False
    with concurrent.futures.ThreadPoolExecutor(1) as pool, worker.cursor() as cursor:
        cursor.execute(first)
        migration = pool.submit(database.migrate, "up", "--to", str(version))
        begun = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'backupctl migrate' AND datname = current_database() AND %s)"
        wait_for(lambda: migration.done() or database.value(begun % "wait_event IN ('relation', 'PgSleep')"))
        cursor.execute(then)
        worker.commit()
        migration.result()
    worker.close()
    assert database.value("SELECT max(version) FROM schema_migrations") == version


def test_changes_of_backups_are_announced(old):
    """003: channel bm_events names the backups that a statement touched; nothing is said of one that touched none, and
    nothing at all while nobody holds the locks of bm_nobody_listens."""
    database = old("enum").create().fill([PRIMARY[0][0]])
    database.migrate("up")
    listener = database.postgres.connect(database.name)
    with listener.cursor() as cursor:
        cursor.execute("LISTEN bm_events")

    def heard(sql):
        database.execute(sql)
        database.execute("NOTIFY bm_events, 'end'")
        found = []
        while "end" not in found:
            listener.poll()
            found += [n.payload for n in listener.notifies]
            listener.notifies.clear()
        return [json.loads(p) for p in found if p != "end"]

    assert heard("UPDATE backups SET checksum = 'w' WHERE id = 1") == []
    with listener.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(7305173, i) FROM generate_series(0, 63) i")
    assert heard("UPDATE backups SET checksum = 'x' WHERE id = 1") == [{"backups": [1]}]
    assert heard("UPDATE backup_destinations SET bytes_done = 5") == [{"backups": [1]}]
    assert heard("UPDATE backup_destinations SET bytes_done = 5 WHERE false") == []
    assert heard("INSERT INTO backups (name, database_id, created_by) SELECT 'n' || g, 1, 1 FROM generate_series(2, 3) g") == [
        {"backups": [2, 3]}
    ]
    assert heard("BEGIN; UPDATE backup_destinations SET bytes_done = 6; UPDATE backups SET checksum = 'y' WHERE id = 1; COMMIT") == [
        {"backups": [1]}
    ]
    assert heard("DELETE FROM backups WHERE id > 1") == [{"backups": [2, 3]}]
    many = "INSERT INTO backups (name, database_id, created_by) SELECT 'm' || g, 1, 1 FROM generate_series(1, 3000) g"
    assert heard(many) == [{"backups": None}]
    listener.close()
