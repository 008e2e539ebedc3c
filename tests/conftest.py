"""Fixtures of the black-box tests (e2e, fault): see tests/README.md for what to use when."""

import os
import shutil
import signal
import tempfile

import pytest

from harness.azurite import Azurite
from harness.processes import SANITIZER_ENV, become_subreaper, children, command_of, long_lived
from harness.rados_gateway import RadosGateway
from harness.servers import Postgres, Redis
from harness.system import Programs, System
from harness.waiting import wait_for as wait_for_function


def pytest_configure(config):
    become_subreaper()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        item.failed = True


@pytest.fixture(scope="session")
def session_dir():
    """Short (a socket's path has 107 bytes) and open to PostgreSQL's user."""
    path = tempfile.mkdtemp(prefix="bmt-", dir=os.environ.get("BM_TEST_DIR", "/tmp"))
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def programs():
    return Programs()


@pytest.fixture(scope="session")
def postgres(session_dir):
    """The session's PostgreSQL. A test that kills it takes `own_postgres` instead."""
    server = Postgres(os.path.join(session_dir, "pg")).create().start()
    yield server
    server.stop()


@pytest.fixture
def own_postgres(tmp):
    server = Postgres(os.path.join(tmp, "pg")).create().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def gateway(session_dir):
    """Ceph's RADOS gateway: an S3 store with four users. Lives as long as the session, as many buckets as you like."""
    server = RadosGateway(os.path.join(session_dir, "rgw"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def azurite(session_dir):
    """Azurite over http: an Azure store. Lives as long as the session, as many containers as you like."""
    server = Azurite(os.path.join(session_dir, "azurite"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def azurite_tls(session_dir):
    """The same over https, with what it has of bearer tokens; its blobs are its own."""
    server = Azurite(os.path.join(session_dir, "azurite-tls"), tls=True)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def no_aws_settings(monkeypatch):
    """For tests in which boto3 runs: see harness/boto.py."""
    from harness.boto import clean_environment  # boto3 is slow to import

    clean_environment(monkeypatch)


@pytest.fixture
def redis(tmp):
    server = Redis(os.path.join(tmp, "redis")).start()
    yield server
    server.stop()


_counter = iter(range(1, 1 << 30))


@pytest.fixture
def tmp(session_dir, request):
    """A directory of the test's own, short and open to all; kept when the test fails and BM_TEST_KEEP is set."""
    path = os.path.join(session_dir, f"t{next(_counter)}")
    os.mkdir(path, 0o755)
    yield path
    if not (os.environ.get("BM_TEST_KEEP") and getattr(request.node, "failed", False)):
        shutil.rmtree(path, ignore_errors=True)


def base_environment(tmp, database_url, redis_url):
    """Every BM_ variable that matters, with periods and leases short enough for tests."""
    foreign = ("BM_", "PG", "AWS_", "VAULT_", "AZURE_", "GOOGLE_", "GCE_", "CLOUDSDK_", "STORAGE_EMULATOR_", "NO_GCE_")
    keep = {k: v for k, v in os.environ.items() if not k.startswith(foreign) and not k.lower().endswith("_proxy")}
    return {
        **keep,
        **SANITIZER_ENV,
        "LC_ALL": "C.UTF-8",
        "BM_DATABASE_URL": database_url,
        "BM_REDIS_URL": redis_url,
        "BM_STAGING_DIR": os.path.join(tmp, "staging"),
        "BM_LEGACY_BASE_PATH": os.path.join(tmp, "legacy"),
        "BM_LOG_LEVEL": "debug",
        "BM_RETRY_BASE_MS": "50",
        "BM_RETRY_CAP_MS": "500",
        "BM_LEASE_SECONDS": "5",
        "BM_RECONCILE_SECONDS": "1",
        "BM_RELAY_SECONDS": "1",
        "BM_DRAIN_SECONDS": "10",
    }


@pytest.fixture(scope="session")
def template(postgres, programs, session_dir):
    """A database migrated once; the tests' databases are copies of it."""
    postgres.create_database("bm_template")
    environment = base_environment(session_dir, postgres.dsn("bm_template"), "unix:///nowhere")
    System(programs, postgres, None, "bm_template", session_dir, environment).ctl("migrate", "up")
    return "bm_template"


@pytest.fixture
def empty_database(postgres):
    """A database without any table."""
    name = postgres.create_database(f"bm_empty_{next(_counter)}")
    yield name
    postgres.drop_database(name)


@pytest.fixture
def database(postgres, template):
    """A fresh database, migrated up."""
    name = postgres.create_database(f"bm_{next(_counter)}", template)
    yield name
    postgres.drop_database(name)


@pytest.fixture
def source_database(postgres):
    """An empty database to be backed up."""
    name = postgres.create_database(f"source_{next(_counter)}")
    yield name
    postgres.drop_database(name)


@pytest.fixture
def env(tmp, postgres, redis, database):
    return base_environment(tmp, postgres.dsn(database), redis.url)


def finish(system):
    """Ends the programs, fails on what they left: bad exits, sanitizer reports, child processes."""
    system.close()
    known = {p.popen.pid for p in (system.postgres, system.redis) if p is not None and p.popen is not None}

    def orphans():
        found = {}
        for pid in children(os.getpid()):
            command = command_of(pid)
            if pid in known or pid in long_lived or "bin/postgres" in command or "redis-server" in command:
                continue
            try:
                if os.waitpid(pid, os.WNOHANG)[0] == pid:
                    continue
            except ChildProcessError:
                continue
            found[pid] = command
        return found

    try:
        wait_for_function(lambda: not orphans(), 120, lambda: f"leftover processes: {orphans()}")
    finally:
        for pid in orphans():  # not to be blamed on the next test
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def bm(programs, postgres, redis, database, tmp, env):
    """The whole system: servers, a migrated database, helpers for programs and questions (harness/system.py)."""
    system = System(programs, postgres, redis, database, tmp, env)
    yield system
    finish(system)


@pytest.fixture
def backupctl(bm):
    """backupctl(*args, json=False, check=True)"""
    return bm.ctl


@pytest.fixture
def worker(bm):
    """worker(*options, start=True, **env): a backup-worker process"""
    return bm.worker


@pytest.fixture
def scheduler(bm):
    """scheduler(*options, start=True, **env): a backup-scheduler process"""
    return bm.scheduler


@pytest.fixture
def wait_for():
    return wait_for_function
