"""Throw-away PostgreSQL and Redis: own directories, unix sockets and free TCP ports, so that runs side by side
never meet. Both can be killed with -9 and started again."""

import glob
import os
import pwd
import shutil
import socket
import subprocess

import psycopg2
import redis

from harness.processes import children
from harness.waiting import wait_for


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def reserve_port():
    """A socket whose port nobody else is given while it is open; a server that sets SO_REUSEADDR may listen there, and until
    then connections are refused."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    return s


def _runs(argv, **kwargs):
    done = subprocess.run(argv, capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


class Postgres:
    """A cluster under `root`; superuser `postgres`, trusted on the socket, by password on TCP."""

    password = "throw-away"

    def __init__(self, root, settings=()):
        self.root = root
        self.data = os.path.join(root, "data")
        self.socket_dir = root
        self.log_path = os.path.join(root, "postgresql.log")
        self.settings = list(settings)
        versions = glob.glob("/usr/lib/postgresql/*/bin/postgres")
        assert versions, "PostgreSQL's server is not installed; deploy/packages/install run"
        self.bin = os.path.dirname(max(versions, key=lambda p: int(p.split("/")[4])))
        self.port = self.reserved = None
        self.popen = None
        self.prefix = []
        os.makedirs(root, exist_ok=True)
        os.chmod(root, 0o755)
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            owner = next(u for u in ("postgres", "nobody") if _user_exists(u))
            entry = pwd.getpwnam(owner)
            os.chown(root, entry.pw_uid, entry.pw_gid)
            self.prefix = ["setpriv", f"--reuid={owner}", f"--regid={entry.pw_gid}", "--clear-groups"]

    def create(self):
        pwfile = os.path.join(self.root, "pwfile")
        with open(pwfile, "w") as f:
            f.write(self.password + "\n")
        os.chmod(pwfile, 0o644)
        _runs(
            [*self.prefix, f"{self.bin}/initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
             "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={pwfile}"],
            cwd="/",
        )
        return self

    def start(self):
        """Starts (again); the port stays the same over restarts."""
        for _ in range(20):
            if self.port is None:
                self.reserved = reserve_port()
                self.port = self.reserved.getsockname()[1]
            options = {
                "listen_addresses": "127.0.0.1",
                "port": self.port,
                "unix_socket_directories": self.socket_dir,
                "fsync": "on",
                "max_connections": 200,
                "shared_buffers": "64MB",
                "log_min_messages": "warning",
            }
            argv = [*self.prefix, f"{self.bin}/postgres", "-D", self.data]
            for item in [f"{k}={v}" for k, v in options.items()] + self.settings:
                argv += ["-c", item]
            with open(self.log_path, "ab") as log:
                self.popen = subprocess.Popen(argv, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            wait_for(lambda: self._answers() or self.popen.poll() is not None, 120, self.log)
            if self.popen.poll() is None:
                return self
            if "could not bind" in self.log()[-2000:]:
                self.port = None
        raise AssertionError(self.log()[-4000:])

    def _answers(self):
        try:
            psycopg2.connect(self.dsn("postgres")).close()
            return True
        except psycopg2.OperationalError:
            return False

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def dsn(self, database, **more):
        """Connection string over the socket, for libpq and psycopg2 alike."""
        parts = {"host": self.socket_dir, "port": self.port, "user": "postgres", "dbname": database, **more}
        return " ".join(f"{k}={v}" for k, v in parts.items())

    def connect(self, database):
        connection = psycopg2.connect(self.dsn(database))
        connection.autocommit = True
        return connection

    def execute(self, database, sql, args=None):
        """Runs sql in autocommit; gives the rows, if any."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, args)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def create_database(self, name, template="template1"):
        self.execute("postgres", f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop_database(self, name):
        self.execute("postgres", f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def kill(self):
        """kill -9 of the postmaster and all its backends."""
        backends = children(self.popen.pid)
        self.popen.kill()
        for pid in backends:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        self.popen.wait()
        # Gone, not merely dying: a new postmaster refuses to start beside a backend of the old one.
        wait_for(lambda: not any(_alive(pid) for pid in backends), 60, "old backends gone")

    def stop(self):
        if self.popen is not None and self.popen.poll() is None:
            self.popen.send_signal(2)  # fast shutdown
            self.popen.wait(120)


def _user_exists(name):
    try:
        pwd.getpwnam(name)
        return True
    except KeyError:
        return False


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Redis:
    """A Redis server under `root`. Empty after a restart unless durable=True (append-only file)."""

    def __init__(self, root, durable=False):
        self.root = root
        self.durable = durable
        self.socket = os.path.join(root, "redis.sock")
        self.log_path = os.path.join(root, "redis.log")
        self.port = None
        self.popen = None
        os.makedirs(root, exist_ok=True)
        self.program = os.path.join(root, "redis-server")
        # redis-tools carries the same binary under another name; it looks at its own name
        server = shutil.which("redis-server") or shutil.which("redis-check-rdb")
        assert server, "Redis is not installed; deploy/packages/install run"
        if not os.path.lexists(self.program):
            os.symlink(server, self.program)

    def start(self):
        for _ in range(20):
            if self.port is None:
                self.port = free_port()
            argv = [
                self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.socket, "--save",
                "", "--appendonly", "yes" if self.durable else "no", "--dir", self.root, "--maxmemory-policy",
                "noeviction", "--daemonize", "no",
            ]  # fmt: skip
            with open(self.log_path, "ab") as log:
                self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            wait_for(lambda: self._answers() or self.popen.poll() is not None, 60, "Redis answers")
            if self.popen.poll() is None:
                return self
            self.port = None
        with open(self.log_path) as log:
            raise AssertionError(log.read()[-4000:])

    def _answers(self):
        try:
            return self.client().ping()
        except redis.exceptions.RedisError:
            return False

    @property
    def url(self):
        return f"unix://{self.socket}"

    @property
    def tcp_url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self):
        return redis.Redis(unix_socket_path=self.socket, decode_responses=True)

    def kill(self):
        self.popen.kill()
        self.popen.wait()

    def stop(self):
        if self.popen is not None and self.popen.poll() is None:
            self.popen.terminate()
            self.popen.wait(60)
