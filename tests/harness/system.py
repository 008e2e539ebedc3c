"""One installation under test: its servers, its programs, and short ways to configure and ask it."""

import hashlib
import json
import os
import subprocess

from harness.processes import SANITIZER, Process, unprivileged_root
from harness.waiting import wait_for

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNFINISHED = ("pending", "in_progress")


class Programs:
    """Paths of the built programs, from BM_BIN_DIR (the build directory), default build/asan."""

    def __init__(self):
        self.build = os.environ.get("BM_BIN_DIR", os.path.join(REPOSITORY, "build", "asan"))
        self.backupctl = self._path("cli", "backupctl")
        self.scheduler = self._path("scheduler", "backup-scheduler")
        self.worker = self._path("worker", "backup-worker")
        self.api = self._path("api", "backup-api")

    def _path(self, folder, name):
        for path in (os.path.join(self.build, folder, name), os.path.join(self.build, name)):
            if os.path.exists(path):
                return path
        raise AssertionError(f"{name} is not built under {self.build}")


class System:
    def __init__(self, programs, postgres, redis, database, tmp, environment):
        self.programs = programs
        self.postgres = postgres
        self.redis = redis
        self.database = database
        self.tmp = tmp
        self.env = environment
        self.processes = []
        self.prefix = unprivileged_root()
        self.connection = None

    # -- programs

    def ctl(self, *args, json=False, check=True, stdin=None, env=None, cwd=None, bound=120):
        """Runs backupctl. With json=True gives the parsed answer; else the finished process. check=True fails
        the test when it exits non-zero."""
        argv = [*self.prefix, self.programs.backupctl, *map(str, args)]
        if json:
            at = argv.index("--") if "--" in argv else len(argv)
            argv.insert(at, "--json")
        done = subprocess.run(
            argv, env={**self.env, **(env or {})}, input=stdin, cwd=cwd, capture_output=True, text=True, timeout=bound
        )
        assert not SANITIZER.search(done.stderr) and done.returncode != 99, done.stderr
        if check:
            assert done.returncode == 0, f"{argv} exited {done.returncode}:\n{done.stdout}{done.stderr}"
        return _parsed(done.stdout, argv) if json else done

    def process(self, argv, name, env=None):
        """A long-running program of ours; ended and checked with the test."""
        log = os.path.join(self.tmp, f"{name}.{len(self.processes)}.log")
        process = Process(argv, {**self.env, **(env or {})}, log, self.prefix)
        self.processes.append(process)
        return process

    def worker(self, *options, start=True, **env):
        process = self.process([self.programs.worker, *options], "worker", env)
        return process.start() if start else process

    def scheduler(self, *options, start=True, **env):
        process = self.process([self.programs.scheduler, *options], "scheduler", env)
        return process.start() if start else process

    def scheduler_once(self, **env):
        process = self.scheduler("--once", **env)
        process.wait()
        process.check()
        return process

    # -- configuration

    def directory(self, name):
        path = os.path.join(self.tmp, name)
        os.makedirs(path, exist_ok=True)
        return path

    def destination(self, name, *options, type="local", base=None):
        """A disk destination in a directory of its own; gives the directory."""
        base = base or self.directory(name)
        self.ctl("destination", "add", name, "--type", type, "--base-path", base, *options)
        return base

    def assign(self, database, *destinations):
        for name in destinations:
            self.ctl("destination", "assign", name, "--database", database)

    def command_database(self, name, *argv):
        self.ctl("database", "add", name, "--type", "command", "--", *argv)
        return name

    def random_file(self, name, size):
        """A file that gzip can't make smaller, readable for the programs: its path."""
        path = os.path.join(self.tmp, name)
        with open(path, "wb") as f:
            while size > 0:
                f.write(os.urandom(min(size, 1 << 20)))
                size -= 1 << 20
        os.chmod(path, 0o644)
        return path

    def file_database(self, name, path):
        self.ctl("database", "add", name, "--type", "file", "--path", path)
        return name

    def postgres_database(self, name, database, *options):
        """A source of type postgresql: over TCP, with a password from a file, as a stranger's server is."""
        secret = os.path.join(self.tmp, "source-password")
        if not os.path.exists(secret):
            with open(secret, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
                f.write(self.postgres.password)
        self.ctl("database", "add", name, "--type", "postgresql", "--host", "127.0.0.1", "--port", self.postgres.port,
                 "--username", "postgres", "--database-name", database, "--password-ref", f"file:{secret}",
                 *options)  # fmt: skip
        return name

    def run(self, database, *options):
        """Starts an on-demand backup; gives its id."""
        before = self.value("SELECT coalesce(max(id), 0) FROM backups")
        self.ctl("backup", "run", database, *options)
        return self.value("SELECT max(id) FROM backups WHERE id > %s", before)

    # -- what became of it

    def query(self, sql, *args):
        """Rows as dictionaries, straight from PostgreSQL."""
        import psycopg2.extras

        if self.connection is None or self.connection.closed:
            self.connection = self.postgres.connect(self.database)
        try:
            with self.connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                cursor.execute(sql, args or None)
                return [dict(row) for row in cursor.fetchall()] if cursor.description else []
        except psycopg2.OperationalError:
            self.connection.close()
            raise

    def value(self, sql, *args):
        rows = self.query(sql, *args)
        return next(iter(rows[0].values())) if rows else None

    def backup(self, backup_id):
        return self.query("SELECT * FROM backups WHERE id = %s", backup_id)[0]

    def rows(self, backup_id):
        """The destination rows of a backup, by priority."""
        return self.query("SELECT * FROM backup_destinations WHERE backup_id = %s ORDER BY priority, id", backup_id)

    def wait_ended(self, *backup_ids, bound=120):
        """Waits until these backups have ended; gives the (last) one's row."""

        def ended():
            found = self.query("SELECT status FROM backups WHERE id = ANY(%s)", list(backup_ids))
            return len(found) == len(backup_ids) and all(row["status"] not in UNFINISHED for row in found)

        wait_for(ended, bound, lambda: self.describe(*backup_ids))
        return self.backup(backup_ids[-1])

    def describe(self, *backup_ids):
        lines = [f"backups {backup_ids}:"]
        lines += [str(self.query("SELECT id, name, status, error_message, artifact_state, artifact_owner FROM backups "
                                 "WHERE id = ANY(%s)", list(backup_ids)))]  # fmt: skip
        for row in self.query("SELECT id, backup_id, status, attempts, next_attempt_at, error_message, lease_owner "
                              "FROM backup_destinations WHERE backup_id = ANY(%s) ORDER BY id", list(backup_ids)):  # fmt: skip
            lines.append(str(row))
        for process in self.processes:
            lines.append(f"--- {process.log_path}\n{process.tail(25)}")
        return "\n".join(lines)

    def assert_whole(self, row, artifact=None):
        """The file of a completed row is there, with the size and SHA-256 that PostgreSQL records."""
        assert row["status"] == "completed", row
        path = os.path.join(row["base_path"], row["file_path"])
        digest, size = sha256_of(path)
        assert (digest, size) == (row["checksum"], row["file_size"]), row
        if artifact is not None:
            assert digest == artifact, row
        return path

    def assert_tidy(self, *directories):
        """No temporary file of ours under these directories, nor in staging."""
        left = []
        for top in (*directories, self.env["BM_STAGING_DIR"]):
            for folder, _, files in os.walk(top):
                left += [os.path.join(folder, f) for f in files if f.endswith(".tmp")]
        assert not left, left

    def fsck(self, bound=60):
        """`backupctl queue fsck` becomes (and is) clean within the time in which things may heal."""
        last = []

        def clean():
            last[:] = [self.ctl("queue", "fsck", check=False)]
            return last[0].returncode == 0

        wait_for(clean, bound, lambda: f"queue fsck: {last[0].stdout}{last[0].stderr}", every=0.5)

    # -- end

    def close(self):
        problems = []
        for process in self.processes:
            process.ask_to_end()
        for process in self.processes:
            try:
                process.dispose()
            except AssertionError as e:
                problems.append(str(e))
                if process.running:
                    process.kill()
        if self.connection is not None:
            self.connection.close()
        assert not problems, "\n".join(problems)


def sha256_of(path):
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def _parsed(text, argv):
    try:
        return json.loads(text)
    except json.JSONDecodeError as e:
        raise AssertionError(f"{argv}: not JSON ({e}):\n{text}") from None
