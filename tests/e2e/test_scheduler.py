"""backup-scheduler: what becomes a backup, when, and never twice. Configured by plain SQL, as any program could."""

import re
import subprocess
from datetime import datetime, timedelta, timezone

import pytest

from conftest import base_environment, finish
from harness.system import System

SYSTEM = "(SELECT id FROM users WHERE username = 'system')"


def add_database(bm, name, db_type="command", active=True):
    return bm.value(
        f"INSERT INTO databases (name, db_type, source_argv, is_active, created_by) "
        f"VALUES (%s, %s, '[\"true\"]', %s, {SYSTEM}) RETURNING id", name, db_type, active)  # fmt: skip


def add_destination(bm, name, storage_type="local", base="/nowhere", config=None, enabled=True, **columns):
    row = {"name": name, "storage_type": storage_type, "base_path": base, "storage_config": config,
           "enabled": enabled, **columns}  # fmt: skip
    return bm.value(f"INSERT INTO destinations ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))}) RETURNING id",
                    *row.values())  # fmt: skip


def assign(bm, destination, database, schedule=None, priority=None, enabled=True):
    bm.query("INSERT INTO destination_assignments (destination_id, database_id, schedule_id, priority, enabled) "
             "VALUES (%s, %s, %s, %s, %s)", destination, database, schedule, priority, enabled)  # fmt: skip


def add_schedule(bm, database, name="nightly", cron="0 * * * *", next_run="NULL", **columns):
    """next_run is an SQL expression"""
    row = {"name": name, "database_id": database, "schedule_type": "cron", "cron_expression": cron, **columns}
    return bm.value(
        f"INSERT INTO schedules (created_by, next_run_at, {', '.join(row)}) "
        f"VALUES ({SYSTEM}, {next_run}, {', '.join(['%s'] * len(row))}) RETURNING id", *row.values())  # fmt: skip


def backups(bm, schedule=None):
    return bm.query("SELECT * FROM backups WHERE schedule_id = %s OR %s IS NULL ORDER BY id", schedule, schedule)


def schedule_row(bm, schedule):
    return bm.query("SELECT * FROM schedules WHERE id = %s", schedule)[0]


@pytest.fixture
def shop(bm):
    """A database with one destination."""
    database = add_database(bm, "shop")
    assign(bm, add_destination(bm, "disk"), database)
    return database


# -- what a backup is made of


def test_a_due_schedule_becomes_rows_and_jobs(bm):
    database = add_database(bm, "my shop/1", "postgresql")
    disk = add_destination(bm, "disk", base="/mnt/a")
    nas = add_destination(bm, "nas", "local_external", "/mnt/b", '{"prefix": "not on disks"}', priority=1, queue="nas-1")
    cloud = add_destination(bm, "cloud", "s3", None, '{"bucket": "b", "prefix": "/all/backups/"}', priority=4,
                            path_template="{database}/{HH}/{MM}/{SS}/{name}.{ext}")  # fmt: skip
    for destination in (disk, nas, cloud):
        assign(bm, destination, database)
    schedule = add_schedule(bm, database, cron="0 0 1 1 *", next_run="date_trunc('second', now())", ordering="sequential")
    due = schedule_row(bm, schedule)["next_run_at"]
    bm.scheduler_once()

    (backup,) = backups(bm)
    at = backup["created_at"].astimezone(timezone.utc)
    assert backup["name"] == at.strftime("my_shop_1_%Y%m%d_%H%M%S")
    assert (backup["status"], backup["ordering"], backup["origin"]) == ("pending", "sequential", "native")
    assert (backup["is_compressed"], backup["compression_type"], backup["is_encrypted"]) == (True, "gzip", False)
    assert backup["created_by"] == bm.value(f"SELECT {SYSTEM}")
    assert backup["schedule_id"] == schedule and backup["fire_time"] <= due
    after = schedule_row(bm, schedule)
    assert after["last_run_at"] >= backup["created_at"] and after["next_run_at"] > due

    first, second, third = bm.rows(backup["id"])
    day, name = at.strftime("%Y/%m/%d"), backup["name"]
    assert [first["destination_id"], second["destination_id"], third["destination_id"]] == [disk, nas, cloud]
    assert [r["priority"] for r in (first, second, third)] == [0, 1, 4]
    assert [r["storage_name"] for r in (first, second, third)] == ["disk", "nas", "cloud"]
    assert [r["storage_type"] for r in (first, second, third)] == ["local", "local_external", "s3"]
    assert [r["queue"] for r in (first, second, third)] == ["default", "nas-1", "default"]
    assert [r["base_path"] for r in (first, second, third)] == ["/mnt/a", "/mnt/b", None]
    assert first["file_path"] == second["file_path"] == f"my_shop_1/{day}/{name}.sql.gz"
    assert third["file_path"] == f"all/backups/my_shop_1/{at.strftime('%H/%M/%S')}/{name}.sql.gz"
    assert third["storage_config"] == '{"bucket": "b", "prefix": "/all/backups/"}'
    for row in (first, second, third):
        assert (row["status"], row["origin"], row["attempts"]) == ("pending", "native", 0)
        assert row["created_at"].replace(tzinfo=timezone.utc) == at
        assert row["enqueued_at"] is not None
    client = bm.redis.client()
    assert client.llen("bm:{default}:ready:0") == 1 and client.llen("bm:{nas-1}:parked:order") == 1
    assert client.llen("bm:{default}:parked:order") == 1


def test_which_destinations_serve_which_schedule(bm):
    database, other = add_database(bm, "one"), add_database(bm, "two")
    schedule = add_schedule(bm, database, next_run="now()")
    other_schedule = add_schedule(bm, database, "other", next_run="now()")
    general = add_destination(bm, "general", priority=1)
    assign(bm, general, database)
    assign(bm, add_destination(bm, "own", priority=2), database, schedule)
    overridden = add_destination(bm, "overridden", priority=3)
    assign(bm, overridden, database, None, 5)
    assign(bm, overridden, database, schedule, 0)
    assign(bm, add_destination(bm, "by assignment", priority=9), database, None, 4)
    assign(bm, add_destination(bm, "off", enabled=False), database)
    assign(bm, add_destination(bm, "assignment off"), database, enabled=False)
    not_here = add_destination(bm, "not for this schedule", priority=6)
    assign(bm, not_here, database)
    assign(bm, not_here, database, schedule, enabled=False)
    assign(bm, add_destination(bm, "of another database"), other)
    bm.scheduler_once()

    def served(which):
        return [(r["storage_name"], r["priority"]) for r in bm.rows(backups(bm, which)[0]["id"])]

    assert served(schedule) == [("overridden", 0), ("general", 1), ("own", 2), ("by assignment", 4)]
    assert served(other_schedule) == [("general", 1), ("by assignment", 4), ("overridden", 5), ("not for this schedule", 6)]


def test_names_and_paths_never_meet(bm):
    database = add_database(bm, "shop")
    assign(bm, add_destination(bm, "fixed", path_template="latest.{ext}"), database)
    assign(bm, add_destination(bm, "plain", path_template="{database}"), database)
    for i in range(6):
        add_schedule(bm, database, f"s{i}", next_run="now()")
    bm.scheduler_once()
    assert len({b["name"] for b in backups(bm)}) == 6
    paths = [r["file_path"] for r in bm.query("SELECT file_path FROM backup_destinations ORDER BY id")]
    assert sorted(paths) == sorted(
        ["latest.bin.gz", *[f"latest_{i}.bin.gz" for i in range(2, 7)], "shop", *[f"shop_{i}" for i in range(2, 7)]])  # fmt: skip


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns"])
def test_the_servers_time_zone_does_not_matter(bm, shop, zone):
    bm.query(f"ALTER DATABASE {bm.database} SET timezone = '{zone}'")
    schedule = add_schedule(bm, shop, cron="30 3 * * *", next_run="now()", timezone="Europe/Rome")
    bm.scheduler_once()
    (backup,) = backups(bm)
    at = backup["created_at"].astimezone(timezone.utc)
    assert abs(datetime.now(timezone.utc) - at) < timedelta(hours=1)
    assert backup["name"] == at.strftime("shop_%Y%m%d_%H%M%S")
    (row,) = bm.rows(backup["id"])
    assert row["created_at"].replace(tzinfo=timezone.utc) == at
    assert row["file_path"] == at.strftime(f"shop/%Y/%m/%d/{backup['name']}.bin.gz")
    next_in_rome = bm.value("SELECT to_char(next_run_at AT TIME ZONE 'Europe/Rome', 'HH24:MI') FROM schedules "
                            "WHERE id = %s", schedule)  # fmt: skip
    assert next_in_rome == "03:30"


def test_no_destination_and_unknown_sources_are_failed_backups(bm):
    lonely = add_schedule(bm, add_database(bm, "lonely"), "lonely", next_run="now()")
    mysql = add_database(bm, "older", "mysql")
    assign(bm, add_destination(bm, "disk"), mysql)
    typed = add_schedule(bm, mysql, "older", next_run="now()")
    bm.scheduler_once()
    (backup,) = backups(bm, lonely)
    assert backup["status"] == "failed" and backup["completed_at"] is not None
    assert "no destination assigned to lonely; backupctl destination assign" in backup["error_message"]
    (backup,) = backups(bm, typed)
    assert backup["status"] == "failed" and "mysql" in backup["error_message"]
    assert bm.value("SELECT count(*) FROM backup_destinations") == 0


# -- when


def test_a_new_schedule_runs_at_its_next_time_only(bm, shop):
    schedule = add_schedule(bm, shop, cron="15 2 * * *", timezone="America/New_York")
    bm.scheduler_once()
    bm.scheduler_once()
    assert backups(bm) == []
    at = bm.query("SELECT next_run_at > now() AS later, to_char(next_run_at AT TIME ZONE 'America/New_York', 'HH24:MI') "
                  "AS local FROM schedules WHERE id = %s", schedule)[0]  # fmt: skip
    assert at == {"later": True, "local": "02:15"}


@pytest.mark.parametrize("interval, step", [("hourly", "1 hour"), ("daily", "1 day"), ("weekly", "7 days"), ("monthly", "1 month")])
def test_the_older_systems_intervals(bm, shop, interval, step):
    schedule = add_schedule(bm, shop, cron=None, schedule_type="interval", interval_value=interval)
    unit = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month"}[interval]
    # weeks of PostgreSQL begin on Monday, weeks of cron on Sunday
    shift = "interval '1 day'" if interval == "weekly" else "interval '0'"
    following = (f"SELECT (date_trunc('{unit}', now() AT TIME ZONE 'UTC' + {shift}) + interval '{step}' - {shift}) "
                 f"AT TIME ZONE 'UTC'")  # fmt: skip
    before = bm.value(following)
    bm.scheduler_once()
    assert schedule_row(bm, schedule)["next_run_at"] in (before, bm.value(following))  # another one when the hour turned


# Runs of an hourly schedule are due at the full hours from there on.
HOURS_AGO = "date_trunc('hour', now(), 'UTC') - interval '{} hours'"


def test_misfire_policies(bm, shop):
    policies = {p: add_schedule(bm, shop, p, next_run=HOURS_AGO.format(5), misfire_policy=p) for p in ("once", "all")}
    skip = add_schedule(bm, shop, "skip", "0 0 1 1 *", next_run="now() - interval '5 hours'", misfire_policy="skip")
    late = add_schedule(bm, shop, "late", "0 0 1 1 *", next_run="now() - interval '100 seconds'", misfire_policy="skip")
    capped = add_schedule(bm, shop, "capped", next_run=HOURS_AGO.format(500), misfire_policy="all")
    latest = bm.value("SELECT " + HOURS_AGO.format(0))
    process = bm.scheduler_once(BM_MISFIRE_CAP="8")
    if bm.value("SELECT " + HOURS_AGO.format(0)) != latest:
        pytest.skip("the hour turned")

    def fires(schedule):
        return [b["fire_time"] for b in backups(bm, schedule)]

    hour = timedelta(hours=1)
    assert fires(policies["once"]) == [latest]
    assert fires(policies["all"]) == [latest - i * hour for i in range(5, -1, -1)]
    assert fires(capped) == [latest - i * hour for i in range(7, -1, -1)]
    assert fires(skip) == [] and "schedule 'skip': the run of" in process.log()
    assert len(fires(late)) == 1
    assert bm.value("SELECT bool_and(next_run_at > now()) FROM schedules")


def test_what_never_runs(bm, shop):
    add_schedule(bm, shop, "manual", next_run="now()", schedule_type="manual")
    add_schedule(bm, shop, "off", next_run="now()", is_active=False)
    add_schedule(bm, add_database(bm, "off", active=False), "of an inactive database", next_run="now()")
    bm.scheduler_once()
    assert backups(bm) == []


def test_a_wrong_schedule_does_not_stop_the_others(bm, shop):
    add_schedule(bm, shop, "bad cron", "61 * * * *", next_run="now()")
    add_schedule(bm, shop, "bad zone", next_run="now()", timezone="Mars/Base")
    add_schedule(bm, shop, "no expression", None, next_run="now()")
    add_schedule(bm, shop, "suspended", next_run="'infinity'")
    good = add_schedule(bm, shop, "good", next_run="now()")
    log = bm.scheduler_once().log()
    assert len(backups(bm)) == len(backups(bm, good)) == 1
    assert re.search(r"schedule 'bad cron' .*minute '61'", log)
    assert re.search(r"schedule 'bad zone' .*'Mars/Base'", log)
    assert "schedule 'no expression'" in log


# -- never twice, never lost


def test_schedulers_side_by_side_never_double(bm, shop):
    for i in range(8):
        add_schedule(bm, shop, f"s{i}", next_run=HOURS_AGO.format(9), misfire_policy="all")
    daemons = [bm.scheduler() for _ in range(2)]
    processes = [bm.scheduler("--once", start=False) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.wait()
        process.check()
    for daemon in daemons:
        daemon.wait_log("started")
    rows = bm.query("SELECT schedule_id, count(*), count(DISTINCT fire_time) AS times, min(fire_time) AS first "
                    "FROM backups GROUP BY schedule_id")  # fmt: skip
    assert len(rows) == 8
    for row in rows:
        assert row["count"] == row["times"] >= 10
    assert bm.value("SELECT count(*) FROM backup_destinations") == sum(r["count"] for r in rows)
    # and one job each
    client = bm.redis.client()
    jobs = client.lrange("bm:{default}:ready:0", 0, -1)
    assert len(jobs) == len(set(jobs)) == sum(r["count"] for r in rows)


def test_a_backup_that_exists_already_is_not_made_again(bm, shop):
    schedule = add_schedule(bm, shop, next_run=HOURS_AGO.format(0))
    bm.scheduler_once()
    bm.query("UPDATE schedules SET next_run_at = " + HOURS_AGO.format(0))
    bm.scheduler_once()
    rows = backups(bm, schedule)
    assert len(rows) == len({r["fire_time"] for r in rows})
    assert schedule_row(bm, schedule)["next_run_at"] > rows[-1]["fire_time"]


def test_rows_made_without_redis_are_relayed_later(bm, shop):
    add_schedule(bm, shop, next_run="now()")
    process = bm.scheduler("--once", start=False, BM_REDIS_URL="unix:///nonexistent/redis.sock")
    process.expected_exit = 1
    process.start()
    process.wait()
    assert "queue was not brought up to date" in process.log()
    assert len(backups(bm)) == 1
    assert bm.redis.client().llen("bm:{default}:ready:0") == 0
    bm.scheduler_once()
    assert len(backups(bm)) == 1
    assert bm.redis.client().llen("bm:{default}:ready:0") == 1


# -- the daemon


def test_the_daemon_wakes_for_what_is_due(bm, shop, wait_for):
    bad = add_schedule(bm, shop, "bad", "nonsense")
    schedule = add_schedule(bm, shop, cron="0 0 1 1 *", next_run="date_trunc('second', now()) + interval '2 seconds'")
    due = schedule_row(bm, schedule)["next_run_at"]
    daemon = bm.scheduler()
    wait_for(lambda: backups(bm, schedule), 60, daemon.tail)
    (backup,) = backups(bm, schedule)
    assert backup["fire_time"] == due and backup["created_at"] >= due
    wait_for(lambda: bm.redis.client().llen("bm:{default}:ready:0") == 1, 60, daemon.tail)

    # A schedule that came later, and one that was changed, are seen too; the bad one is not complained of again.
    later = add_schedule(bm, shop, "later", "0 0 1 1 *", next_run="now()")
    bm.query("UPDATE schedules SET cron_expression = '* * * * *', next_run_at = NULL WHERE id = %s", schedule)
    wait_for(lambda: backups(bm, later), 60, daemon.tail)
    wait_for(lambda: schedule_row(bm, schedule)["next_run_at"], 60, daemon.tail)
    assert daemon.log().count(f"schedule 'bad' (id {bad})") == 1
    daemon.terminate()


@pytest.mark.parametrize("number", [2, 15])
def test_signals_end_it_cleanly(bm, number):
    daemon = bm.scheduler()
    daemon.wait_log("started")
    daemon.signal(number)
    daemon.signal(number)
    daemon.wait()
    daemon.check()


@pytest.fixture
def own_bm(programs, own_postgres, redis, tmp):
    """An installation whose PostgreSQL may be killed."""
    own_postgres.create_database("bm_own")
    system = System(programs, own_postgres, redis, "bm_own", tmp, base_environment(tmp, own_postgres.dsn("bm_own"), redis.url))
    system.ctl("migrate", "up")
    yield system
    finish(system)


def test_the_daemon_survives_postgresql(own_bm, wait_for):
    bm = own_bm
    database = add_database(bm, "shop")
    assign(bm, add_destination(bm, "disk"), database)
    first = add_schedule(bm, database, "first", "0 0 1 1 *", next_run="now()")
    daemon = bm.scheduler()
    wait_for(lambda: backups(bm, first), 60, daemon.tail)
    second = add_schedule(bm, database, "second", "0 0 1 1 *", next_run="now() + interval '1 second'")
    bm.postgres.kill()
    daemon.wait_log("retrying in")
    assert daemon.running
    bm.postgres.start()

    def ran():
        try:
            return backups(bm, second)
        except Exception:
            return None

    wait_for(ran, 120, daemon.tail)
    assert len(backups(bm, first)) == len(backups(bm, second)) == 1
    daemon.terminate()


# -- how long the audit log is kept


def add_audit_rows(bm, n, days, action="login"):
    bm.query("INSERT INTO audit_log (at, action, object_kind) SELECT now() - %s * interval '1 day', %s, 'user' "
             "FROM generate_series(1, %s)", days, action, n)  # fmt: skip


def audit_rows(bm):
    return {r["action"]: r["n"] for r in bm.query("SELECT action, count(*) AS n FROM audit_log GROUP BY action")}


@pytest.mark.parametrize("given", ({}, {"BM_AUDIT_RETENTION_DAYS": "0"}))
def test_the_audit_log_is_kept_for_ever(bm, given):
    add_audit_rows(bm, 10, 20000)
    bm.scheduler_once(**given)
    assert audit_rows(bm) == {"login": 10}


def test_the_audit_log_is_kept_for_some_days(bm):
    add_audit_rows(bm, 2500, 30.1, "old")
    add_audit_rows(bm, 3, 29.9, "young")
    add_audit_rows(bm, 7, 0, "new")
    process = bm.scheduler_once(BM_AUDIT_RETENTION_DAYS="30")
    assert audit_rows(bm) == {"young": 3, "new": 7}
    assert "2500 row(s) older than 30 days removed" in process.log()
    assert "removed" not in bm.scheduler_once(BM_AUDIT_RETENTION_DAYS="30").log()


def test_a_run_shortens_the_audit_log_by_so_much_only(bm, wait_for):
    add_audit_rows(bm, 20500, 40, "old")
    bm.scheduler_once(BM_AUDIT_RETENTION_DAYS="30")
    assert audit_rows(bm) == {"old": 500}
    bm.scheduler(BM_AUDIT_RETENTION_DAYS="30")
    wait_for(lambda: audit_rows(bm) == {})


def test_schedules_run_where_the_audit_log_can_not_be_shortened(bm, shop, wait_for):
    schedule = add_schedule(bm, shop, next_run="date_trunc('second', now())")
    add_audit_rows(bm, 1, 40)
    bm.query("CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the log is kept'; END $$")
    bm.query("CREATE TRIGGER kept BEFORE DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION never()")
    process = bm.scheduler(BM_AUDIT_RETENTION_DAYS="30")
    process.wait_log(r"audit log: what is older than 30 days was not removed: .*the log is kept.*; trying again")
    wait_for(lambda: backups(bm, schedule))
    done = run(bm, "--once", BM_AUDIT_RETENTION_DAYS="30")
    assert done.returncode == 1 and "the log is kept" in done.stderr
    assert audit_rows(bm)["login"] == 1


# -- usage


def run(bm, *args, **env):
    done = subprocess.run([bm.programs.scheduler, *args], env={**bm.env, **env}, capture_output=True, text=True, timeout=120)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done


def test_help_and_version(bm):
    done = run(bm, "--help", BM_MISFIRE_CAP="nonsense")
    assert done.returncode == 0 and "BM_MISFIRE_CAP" in done.stdout and "--once" in done.stdout
    done = run(bm, "--version")
    assert done.returncode == 0 and re.fullmatch(r"backup-scheduler \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize(
    "args, env, words",
    [
        (["--twice"], {}, ["--twice", "--help"]),
        (["--once", "now"], {}, ["'now'"]),
        (["--misfire-cap", "0"], {}, ["BM_MISFIRE_CAP", "'0'", "1 to 1000"]),
        (["--once"], {"BM_AUDIT_RETENTION_DAYS": "-1"}, ["BM_AUDIT_RETENTION_DAYS", "'-1'", "0 to 36500"]),
        ([], {"BM_DATABASE_URL": ""}, ["BM_DATABASE_URL is not set"]),
        (["--once"], {"BM_DATABASE_URL": "postgresql://a:sesame%zz@b/x"}, []),
        (["--once"], {"BM_REDIS_URL": "http://here"}, []),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(bm, args, env, words):
    done = run(bm, *args, **env)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "sesame" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_without_a_database_once_fails(bm, empty_database):
    done = run(bm, "--once", BM_DATABASE_URL=bm.postgres.dsn(empty_database))
    assert done.returncode == 1 and "backupctl migrate up" in done.stderr
    done = run(bm, "--once", BM_DATABASE_URL="host=/nonexistent dbname=x")
    assert done.returncode == 1 and "/nonexistent" in done.stderr
