"""Bad input gets one clear line that names the thing and the way out, a proper exit status, and changes nothing."""

import os
import subprocess

import pytest

SECRET = "wJalrXUtnFEMI/K7MDENG"

CASES = [
    # what, arguments (@ = an existing directory), exit status, words of the message
    ("unknown storage type", ["destination", "add", "x", "--type", "floppy", "--base-path", "@"], 2, ["floppy", "local_external"]),
    ("storage type missing", ["destination", "add", "x", "--base-path", "@"], 2, ["--type"]),
    ("disk without base path", ["destination", "add", "x", "--type", "local"], 2, ["base"]),
    ("relative base path", ["destination", "add", "x", "--type", "local", "--base-path", "some/where"], 2, ["some/where"]),
    ("base path with ..", ["destination", "add", "x", "--type", "local", "--base-path", "@/../ground"], 2, [".."]),
    ("missing directory", ["destination", "add", "x", "--type", "local", "--base-path", "@/nope"], (1, 2), ["@/nope"]),
    ("base path is a file", ["destination", "add", "x", "--type", "local", "--base-path", "/etc/passwd"], (1, 2), ["/etc/passwd"]),
    ("path template with ..", ["destination", "add", "x", "--type", "local", "--base-path", "@", "--path-template", "../{name}.{ext}"], 2, [".."]),
    ("invalid JSON", ["destination", "add", "x", "--type", "s3", "--config", '{"bucket": '], 2, ["JSON"]),
    ("JSON that is no object", ["destination", "add", "x", "--type", "s3", "--config", '["bucket"]'], 2, ["object"]),
    ("literal secret", ["destination", "add", "x", "--type", "s3", "--config",
                        f'{{"bucket":"b","region":"eu-west-1","secret_access_key":"{SECRET}"}}'], 2, ["secret_access_key", "credentials_ref"]),
    ("literal secret for a disk", ["destination", "add", "x", "--type", "local", "--base-path", "@", "--config",
                                   f'{{"password":"{SECRET}"}}'], 2, ["password", "credentials_ref"]),
    ("negative priority", ["destination", "add", "x", "--type", "local", "--base-path", "@", "--priority", "-1"], 2, ["-1"]),
    ("priority that is no number", ["destination", "add", "x", "--type", "local", "--base-path", "@", "--priority", "high"], 2, ["high"]),
    ("name taken", ["destination", "add", "disk", "--type", "local", "--base-path", "@"], (1, 2), ["disk"]),
    ("unknown database type", ["database", "add", "x", "--type", "oracle"], 2, ["oracle", "postgresql"]),
    ("literal password", ["database", "add", "x", "--type", "postgresql", "--host", "h", "--port", "5432", "--username", "u",
                          "--database-name", "d", "--password-ref", SECRET], 2, ["password", "file:"]),
    ("port out of range", ["database", "add", "x", "--type", "postgresql", "--host", "h", "--port", "70000", "--username", "u",
                           "--database-name", "d"], 2, ["port", "65535"]),
    ("file with ..", ["database", "add", "x", "--type", "file", "--path", "/tmp/../etc/passwd"], 2, [".."]),
    ("relative path", ["database", "add", "x", "--type", "directory", "--path", "etc"], 2, ["etc"]),
    ("command without words", ["database", "add", "x", "--type", "command"], 2, ["--"]),
    ("cron with too few fields", ["schedule", "add", "x", "--database", "word", "--cron", "* * *"], 2, ["* * *"]),
    ("cron out of range", ["schedule", "add", "x", "--database", "word", "--cron", "61 * * * *"], 2, ["61"]),
    ("cron nonsense", ["schedule", "add", "x", "--database", "word", "--cron", "every morning at eight please"], 2, ["every"]),
    ("cron unknown nickname", ["schedule", "add", "x", "--database", "word", "--cron", "@sometimes"], 2, ["@sometimes"]),
    ("cron with step 0", ["schedule", "add", "x", "--database", "word", "--cron", "*/0 * * * *"], 2, ["0"]),
    ("cron that never comes", ["schedule", "add", "x", "--database", "word", "--cron", "0 0 30 2 *"], 2, ["0 0 30 2 *"]),
    ("wrong time zone", ["schedule", "add", "x", "--database", "word", "--cron", "0 * * * *", "--timezone", "Mars/Phobos"], 2, ["Mars/Phobos"]),
    ("time zone with ..", ["schedule", "add", "x", "--database", "word", "--cron", "0 * * * *", "--timezone", "../../etc/passwd"], 2, ["../../etc/passwd"]),
    ("unknown ordering", ["schedule", "add", "x", "--database", "word", "--cron", "0 * * * *", "--ordering", "random"], 2, ["random", "sequential"]),
    ("unknown misfire policy", ["schedule", "add", "x", "--database", "word", "--cron", "0 * * * *", "--misfire", "twice"], 2, ["twice", "once"]),
    ("schedule of an unknown database", ["schedule", "add", "x", "--database", "nobody", "--cron", "0 * * * *"], (1, 2), ["nobody"]),
    ("assign an unknown destination", ["destination", "assign", "nobody", "--database", "word"], (1, 2), ["nobody"]),
    ("assign to an unknown database", ["destination", "assign", "disk", "--database", "nobody"], (1, 2), ["nobody"]),
    ("run of an unknown database", ["backup", "run", "nobody"], (1, 2), ["nobody"]),
    ("show of an unknown backup", ["backup", "show", "4711"], (1, 2), ["4711"]),
    ("show of no number", ["backup", "show", "../../x"], (1, 2), ["../../x"]),
    ("retry of an unknown backup", ["backup", "retry", "4711"], (1, 2), ["4711"]),
    ("remove of an unknown one", ["destination", "remove", "nobody"], (1, 2), ["nobody"]),
    ("unknown command", ["backups", "list"], 2, ["backups"]),
    ("unknown sub-command", ["backup", "frobnicate"], 2, ["frobnicate"]),
    ("unknown option", ["backup", "list", "--frob"], 2, ["--frob"]),
    ("option without value", ["backup", "list", "--database"], 2, ["--database"]),
    ("too many words", ["queue", "stats", "now"], 2, ["now"]),
    ("unknown state", ["queue", "list", "--state", "lost"], 2, ["lost", "parked"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def shared(programs, postgres, template, session_dir):
    """One installation for all cases: none of them may change it."""
    import conftest
    from harness.servers import Redis
    from harness.system import System

    tmp = os.path.join(session_dir, "bad-input")
    os.mkdir(tmp)
    redis = Redis(os.path.join(tmp, "redis")).start()
    database = postgres.create_database("bad_input", template)
    system = System(programs, postgres, redis, database, tmp, conftest.base_environment(tmp, postgres.dsn(database), redis.url))
    system.destination("disk")
    system.command_database("word", "echo", "word")
    yield system
    conftest.finish(system)
    redis.stop()
    postgres.drop_database(database)


def everything(bm):
    tables = bm.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'maintenance' ORDER BY 1")
    digests = {t["tablename"]: bm.value(f"SELECT md5(coalesce(string_agg(x::text, ';' ORDER BY x::text), '')) FROM "
                                        f"{t['tablename']} x") for t in tables}  # fmt: skip
    return digests, sorted(bm.redis.client().keys("bm:*")), _tree(bm.directory("ground"))


def _tree(top):
    return sorted(os.path.join(folder, name) for folder, dirs, files in os.walk(top) for name in dirs + files)


@pytest.mark.parametrize("what, args, status, words", CASES, ids=[case[0].replace(" ", "-") for case in CASES])
def test_refused(shared, what, args, status, words):
    ground = shared.directory("ground")
    before = everything(shared)
    done = shared.ctl(*[arg.replace("@/", ground + "/").replace("/@", ground) if "@/" in arg else ground if arg == "@" else arg
                        for arg in args], check=False)  # fmt: skip
    assert done.returncode in (status if isinstance(status, tuple) else (status,)), (done.returncode, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and done.stdout == "", f"one clear line was promised:\n{done.stdout}{done.stderr}"
    for word in words:
        assert (word.replace("@", ground) if word.startswith("@/") else word) in lines[0], lines[0]
    assert SECRET not in lines[0]
    assert everything(shared) == before


@pytest.mark.parametrize(
    "variable, value, args, words",
    [
        ("BM_DATABASE_URL", "host=/nowhere/at/all dbname=x", ["backup", "list"], ["/nowhere/at/all"]),
        ("BM_DATABASE_URL", "postgresql://127.0.0.1:9/x", ["backup", "list"], ["127.0.0.1"]),
        ("BM_DATABASE_URL", "postgresql://no-such-host.invalid/x", ["backup", "list"], ["no-such-host.invalid"]),
        ("BM_REDIS_URL", "unix:///nowhere/redis.sock", ["queue", "stats"], ["/nowhere/redis.sock"]),
        ("BM_REDIS_URL", "redis://127.0.0.1:9/0", ["queue", "stats"], ["127.0.0.1:9"]),
        ("BM_REDIS_URL", "redis://no-such-host.invalid:6379/0", ["queue", "stats"], ["no-such-host.invalid"]),
    ],
)
def test_unreachable_server(shared, variable, value, args, words):
    done = shared.ctl(*args, check=False, env={variable: value, "BM_LOG_LEVEL": "info"})
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and done.stdout == "", done.stdout + done.stderr
    for word in [*words, f"say by {variable}"]:
        assert word in lines[0]


def test_unreachable_server_keeps_passwords(shared):
    for variable, value, args in (
        ("BM_DATABASE_URL", f"postgresql://u:{SECRET.replace('/', '%2F')}@127.0.0.1:9/x", ["backup", "list"]),
        ("BM_REDIS_URL", "redis://u:hunter2hunter2@127.0.0.1:9/0", ["queue", "stats"]),
    ):
        done = shared.ctl(*args, check=False, env={variable: value, "BM_LOG_LEVEL": "info"})
        assert done.returncode == 1
        assert "hunter2" not in done.stderr and "wJalr" not in done.stderr


@pytest.mark.parametrize("program", ["worker", "scheduler", "backupctl"])
@pytest.mark.parametrize(
    "variable, value, name",
    [("BM_LOG_LEVEL", "loud", "BM_LOG_LEVEL"), ("BM_DATABASE_URL", "", "BM_DATABASE_URL"),
     ("BM_REDIS_URL", "http://x", "Redis URL"), ("BM_RECONCILE_SECONDS", "soon", "BM_RECONCILE_SECONDS")],
)  # fmt: skip
def test_wrong_setting(shared, program, variable, value, name):
    argv = [getattr(shared.programs, program), *(["queue", "stats"] if program == "backupctl" else [])]
    done = subprocess.run(argv, env={**shared.env, variable: value}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, (done.returncode, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and name in lines[0], done.stderr


@pytest.mark.parametrize("program", ["worker", "scheduler", "backupctl"])
def test_help_and_version(shared, program):
    path = getattr(shared.programs, program)
    told = subprocess.run([path, "--help"], capture_output=True, text=True, timeout=60)
    assert told.returncode == 0 and "BM_DATABASE_URL" in told.stdout
    told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60)
    assert told.returncode == 0 and os.path.basename(path) in told.stdout
    told = subprocess.run([path, "--frob"], env=shared.env, capture_output=True, text=True, timeout=60)
    assert told.returncode == 2 and "--frob" in told.stderr


COMMANDS = [
    ["migrate"], ["migrate", "up"], ["database"], ["database", "add"], ["destination"], ["destination", "add"],
    ["destination", "assign"], ["destination", "test"], ["schedule"], ["schedule", "add"], ["backup"], ["backup", "run"],
    ["backup", "show"], ["backup", "retry"], ["queue"], ["queue", "fsck"], ["queue", "list"], ["status"], ["doctor"],
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_everywhere(shared, words):
    told = shared.ctl(*words, "--help", env={"BM_DATABASE_URL": "host=/nowhere", "BM_REDIS_URL": "unix:///nowhere"})
    assert words[-1] in told.stdout


def test_scheduler_lives_through_a_bad_schedule(bm, wait_for):
    """A row that someone wrote into the table by hand: named, skipped, and the others still run."""
    bm.destination("disk")
    bm.command_database("word", "echo", "word")
    bm.assign("word", "disk")
    for name in ("good", "bad", "lost"):
        bm.ctl("schedule", "add", name, "--database", "word", "--cron", "0 4 * * *")
    bm.query("UPDATE schedules SET next_run_at = date_trunc('second', clock_timestamp())")
    bm.query("UPDATE schedules SET cron_expression = 'whenever' WHERE name = 'bad'")
    bm.query("UPDATE schedules SET timezone = 'Mars/Phobos' WHERE name = 'lost'")
    scheduler = bm.scheduler()
    wait_for(lambda: bm.value("SELECT count(*) FROM backups b JOIN schedules s ON s.id = b.schedule_id WHERE s.name = 'good'"),
             what=scheduler.tail)  # fmt: skip
    scheduler.wait_log("whenever")
    scheduler.wait_log("Mars/Phobos")
    assert scheduler.running
