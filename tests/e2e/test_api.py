"""backup-api: the specification's endpoint over rows of every kind, and a server that no client can upset."""

import concurrent.futures
import fcntl
import json
import os
import re
import socket
import struct
import subprocess
import termios
import urllib.error
import urllib.request

import pytest

from harness.api import make_token
from harness.system import System

CHECKSUM = "a3f2b1c4d5" * 6 + "abcd"


class Api:
    """A running backup-api."""

    def __init__(self, system, *options, **env):
        self.process = system.process([system.programs.api, *options], "api", {"BM_LISTEN": "127.0.0.1:0", **env})
        self.process.start()
        self.token = make_token(system, "viewer")
        self.address = self.process.wait_log(r"listening on (\S+)").group(1)
        if not self.address.startswith("unix:"):
            host, port = self.address.rsplit(":", 1)
            self.socket_address = (host, int(port))

    def request(self, path, method="GET", data=None, headers=None):
        """(status, parsed JSON or None, headers)"""
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        request = urllib.request.Request(f"http://{self.address}{path}", method=method, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, body, fields = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as e:
            status, body, fields = e.code, e.read(), e.headers
        assert fields["Content-Type"] == ("application/json" if status < 400 else "application/problem+json")
        return status, json.loads(body) if body else None, fields

    def get(self, path, expect=200):
        status, body, _ = self.request(path)
        assert status == expect, (status, body)
        if status >= 400:
            assert body["status"] == status and body["title"] and body["detail"]
        return body

    def details(self, database, query=""):
        return self.get(f"/api/databases/{database}/details{query}")

    def raw(self, data):
        """Everything that comes back until the server closes."""
        with socket.create_connection(self.socket_address, timeout=60) as s:
            s.sendall(data)
            answer = b""
            while block := s.recv(65536):
                answer += block
            return answer


@pytest.fixture
def api(bm):
    return Api(bm)


def add_database(bm, name="production", **columns):
    row = {
        "name": name, "db_type": "postgresql", "host": "db.example", "port": 5432, "username": "reader",
        "database_name": "production", "password_encrypted": "fernet-secret-token", "password_ref": "env:HIDDEN_REFERENCE",
        "connection_options": '{"sslpassword": "option-secret"}', **columns,
    }  # fmt: skip
    names = ", ".join(row)
    return bm.query(
        f"INSERT INTO databases ({names}, created_by) SELECT {', '.join(['%s'] * len(row))}, id FROM users LIMIT 1 RETURNING id",
        *row.values(),
    )[0]["id"]


def add_backup(bm, database, name, status="completed", **columns):
    names = "".join(f", {c}" for c in columns)
    return bm.query(
        f"INSERT INTO backups (name, database_id, status, created_by{names}) "
        f"SELECT %s, %s, %s, id{', %s' * len(columns)} FROM users LIMIT 1 RETURNING id",
        name, database, status, *columns.values(),
    )[0]["id"]  # fmt: skip


def add_copy(bm, backup, storage_type, file_path, status="completed", **columns):
    names = "".join(f", {c}" for c in columns)
    return bm.query(
        f"INSERT INTO backup_destinations (backup_id, storage_type, file_path, status{names}) "
        f"VALUES (%s, %s, %s, %s{', %s' * len(columns)}) RETURNING id",
        backup, storage_type, file_path, status, *columns.values(),
    )[0]["id"]  # fmt: skip


def write(path, size):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.truncate(size)
    return path


# -- the program


def refused(bm, *options, status=2, **env):
    done = subprocess.run([bm.programs.api, *options], env={**bm.env, **env}, capture_output=True, text=True, timeout=60)
    lines = [line for line in done.stderr.splitlines() if line.startswith("backup-api: ")]
    assert done.returncode == status and len(lines) == 1 and done.stdout == "", (done.returncode, done.stderr)
    return lines[0]


def test_words(bm):
    def run(word):
        return subprocess.run([bm.programs.api, word], env=bm.env, capture_output=True, text=True, check=True).stdout

    text = run("--help")
    assert all(word in text for word in ("BM_DATABASE_URL", "BM_LISTEN", "127.0.0.1:8000", "/details", "loopback"))
    assert re.fullmatch(r"backup-api \d+\.\d+\.\d+\n", run("--version"))


def test_bad_settings(bm):
    assert "--frobnicate" in refused(bm, "--frobnicate")
    assert "BM_DATABASE_URL" in refused(bm, BM_DATABASE_URL="")
    assert "BM_DATABASE_URL" in refused(bm, BM_DATABASE_URL="postgresql://h/x?nonsense=1")
    assert "BM_REDIS_URL" in refused(bm, BM_REDIS_URL="http://x")
    for listen in ("nonsense", "127.0.0.1", "127.0.0.1:99999", ":8000", "::1:80", "no.such.host.invalid:80", "unix:x", "unix:/" + "x" * 200):
        assert "BM_LISTEN" in refused(bm, BM_LISTEN=listen)
    assert "BM_LISTEN" in refused(bm, "--listen", "")
    for origins in ("*", "https://a.example/", "a.example", "https://A.example", "https://u@a.example", "https://a.example,null"):
        assert "BM_CORS_ORIGINS" in refused(bm, BM_CORS_ORIGINS=origins)


def test_address_in_use(bm, api):
    assert "somebody else listens" in refused(bm, "--listen", api.address, status=1)
    assert api.get("/healthz")["status"] == "ok"


def test_warns_when_exposed(bm):
    assert "WARN" not in Api(bm).process.log().upper()
    api = Api(bm, BM_LISTEN="0.0.0.0:0")
    api.process.wait_log("can be reached from other machines")


def test_unix_socket(bm, tmp):
    path = os.path.join(tmp, "api.sock")

    def get():
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return s.makefile("rb").read()

    api = Api(bm, BM_LISTEN=f"unix:{path}")
    assert api.address == f"unix:{path}" and get().startswith(b"HTTP/1.1 200")
    assert "somebody else listens" in refused(bm, BM_LISTEN=f"unix:{path}", status=1)
    assert get().startswith(b"HTTP/1.1 200")
    api.process.kill()  # leaves the file behind
    Api(bm, BM_LISTEN=f"unix:{path}").process.terminate()
    assert not os.path.exists(path)


# -- health


def test_health(bm, api, redis, wait_for):
    assert api.get("/healthz")["status"] == "ok"
    assert api.get("/readyz") == {"status": "ready", "postgresql": "ok", "redis": "ok"}
    redis.kill()
    body = api.get("/readyz", expect=503)
    assert (body["postgresql"], body["detail"]) == ("ok", "Redis does not answer") and body["redis"] != "ok"
    assert api.get("/healthz")["status"] == "ok"
    redis.start()
    wait_for(lambda: api.request("/readyz")[0] == 200)


# -- details


def test_specification(bm, api):
    """The page's own example as rows: the answer is the page's, field for field."""
    main, disk = bm.directory("main"), bm.directory("external_hdd")
    local_path = "production/postgresql/backup_20251102_080000.sql.gz"
    disk_path = "backups/production/backup_20251102_080000.sql.gz"
    s3_path = "backups/2025/11/02/backup_20251102_080000.sql.gz"
    write(f"{main}/{local_path}", 35842048)
    write(f"{disk}/{disk_path}", 35842048)
    database = add_database(bm)
    backup = add_backup(bm, database, "production_postgresql_20251102_080000")
    config = '{"bucket":"my-backups","region":"us-east-1"}'
    third = add_copy(bm, backup, "s3", s3_path, storage_name="AWS S3 Backup", file_size=35840000, priority=2,
                     upload_duration_seconds=180, storage_config=config)  # fmt: skip
    second = add_copy(bm, backup, "local_external", disk_path, storage_name="External HDD Backup", base_path=disk,
                      file_size=35840000, priority=1, upload_duration_seconds=120)  # fmt: skip
    first = add_copy(bm, backup, "local", local_path, storage_name="Main Storage", base_path=main, file_size=35840000,
                     checksum=CHECKSUM, priority=0, upload_duration_seconds=45)  # fmt: skip

    answer = api.details(database)
    shown = answer["recent_backups"]
    assert len(shown) == 1
    wanted = {
        "id": backup, "name": "production_postgresql_20251102_080000", "status": "completed",
        "storage_type": "local", "file_path": local_path, "file_size": 35840000, "checksum": CHECKSUM,
    }  # fmt: skip
    assert {k: shown[0][k] for k in wanted} == wanted

    def info(base, path):
        return {"exists": True, "absolute_path": f"{base}/{path}", "file_size_on_disk": 35842048, "is_accessible": True,
                "error_message": None}  # fmt: skip

    copies = [
        {"id": first, "storage_type": "local", "storage_name": "Main Storage", "file_path": local_path,
         "base_path": main, "file_size": 35840000, "checksum": CHECKSUM, "status": "completed", "priority": 0,
         "upload_duration_seconds": 45, "storage_config": None, "file_info": info(main, local_path)},
        {"id": second, "storage_type": "local_external", "storage_name": "External HDD Backup", "file_path": disk_path,
         "base_path": disk, "file_size": 35840000, "checksum": None, "status": "completed", "priority": 1,
         "upload_duration_seconds": 120, "storage_config": None, "file_info": info(disk, disk_path)},
        {"id": third, "storage_type": "s3", "storage_name": "AWS S3 Backup", "file_path": s3_path, "base_path": None,
         "file_size": 35840000, "status": "completed", "priority": 2, "upload_duration_seconds": 180,
         "storage_config": config, "file_info": None},
    ]  # fmt: skip
    assert len(shown[0]["destinations"]) == len(copies)
    for given, copy in zip(shown[0]["destinations"], copies):
        assert {k: given[k] for k in copy} == copy
        assert "disk_identity" not in given and "lease_owner" not in given
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", given["created_at"])
    assert answer["database"]["id"] == database and answer["database"]["db_type"] == "postgresql"


def test_real_backup(bm, api):
    base = bm.destination("disk")
    bm.destination("external", "--priority", 1, type="local_external")
    bm.command_database("greeting", "echo", "hello")
    bm.assign("greeting", "disk", "external")
    backup = bm.run("greeting")
    database = bm.value("SELECT database_id FROM backups WHERE id = %s", backup)
    pending = api.details(database)["recent_backups"][0]
    assert [d["status"] for d in pending["destinations"]] == ["pending", "pending"]
    assert [d["file_info"] for d in pending["destinations"]] == [None, None]
    assert (pending["storage_type"], pending["file_size"]) == ("local", None)

    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed"
    shown = api.details(database)["recent_backups"][0]
    rows = bm.rows(backup)
    assert shown["status"] == "completed" and shown["file_size"] == rows[0]["file_size"]
    for copy, row in zip(shown["destinations"], rows):
        bm.assert_whole(row)
        assert copy["checksum"] == row["checksum"]
        assert copy["file_info"]["is_accessible"] and copy["file_info"]["file_size_on_disk"] == row["file_size"]
        assert copy["upload_completed_at"] == row["upload_completed_at"].strftime("%Y-%m-%dT%H:%M:%SZ")
    # another disk under the mount point: the marker is gone
    os.remove(os.path.join(rows[1]["base_path"], ".backupmanager-disk"))
    info = [d["file_info"] for d in api.details(database)["recent_backups"][0]["destinations"]]
    assert info[0]["exists"] and info[0]["absolute_path"].startswith(base)
    assert not info[1]["exists"] and not info[1]["is_accessible"] and info[1]["error_message"]


def test_files_that_are_not_there(bm, api):
    base = bm.directory("base")
    write(f"{base}/here", 5)
    os.symlink("/etc/passwd", f"{base}/link")
    os.mkdir(f"{base}/folder")
    os.mkfifo(f"{base}/fifo")
    os.chmod(write(f"{base}/locked", 5), 0)
    write(f"{base}/notfolder", 5)
    cases = [
        ("here", base, "completed", None),
        ("missing", base, "completed", "the file is not there"),
        ("no/folder/missing", base, "completed", "the file is not there"),
        ("notfolder/x", base, "completed", "stands where a directory is needed"),
        ("x", os.path.join(bm.tmp, "unmounted"), "completed", "mount the disk"),
        ("x", "relative/base", "completed", "not absolute"),
        ("link", base, "completed", "symbolic link"),
        ("folder", base, "completed", "not a regular file"),
        ("fifo", base, "completed", "not a regular file"),
        ("locked", base, "completed", "ermission denied"),
        ("../../etc/passwd", base, "completed", "'..'"),
        ("/etc/passwd", base, "completed", "absolute"),
        ("x\ny", base, "completed", "control character"),
        ("x" * 300, base, "completed", "255 bytes"),
        ("here", base, "failed", ...),
        ("here", base, "uploading", ...),
    ]
    database = add_database(bm)
    backup = add_backup(bm, database, "b", "partial")
    for i, (path, where, status, _) in enumerate(cases):
        add_copy(bm, backup, "local", path, status, base_path=where, priority=i)
    copies = api.details(database)["recent_backups"][0]["destinations"]
    for (path, where, _, error), copy in zip(cases, copies):
        info = copy["file_info"]
        if error is ...:
            assert info is None
        elif error is None:
            assert info == {"exists": True, "absolute_path": f"{base}/here", "file_size_on_disk": 5,
                            "is_accessible": True, "error_message": None}  # fmt: skip
        else:
            assert (info["exists"], info["is_accessible"], info["file_size_on_disk"]) == (False, False, None)
            assert error in info["error_message"], (path, where, info)


def test_older_rows(bm, api):
    """What the migration leaves: no base_path, '/' as base_path, legacy columns; and names Path() would read."""
    legacy = bm.env["BM_LEGACY_BASE_PATH"]
    write(f"{legacy}/mysql/old.sql.gz", 7)
    absolute = write(os.path.join(bm.directory("abs"), "old.sql.gz"), 9)
    database = add_database(bm, db_type="mysql")
    relative = add_backup(bm, database, "one", storage_type="local", file_path="./mysql/old.sql.gz", file_size=7)
    add_copy(bm, relative, "local", "./mysql//old.sql.gz", origin="migrated", storage_name="Primary Storage (migrated)")
    other = add_backup(bm, database, "two", storage_type="local", file_path=absolute, file_size=9, checksum="c0ffee")
    add_copy(bm, other, "local", absolute[1:], base_path="/", origin="migrated")
    bare = add_backup(bm, database, "three", "failed", storage_type="local", file_path="")

    shown = {b["id"]: b for b in api.details(database)["recent_backups"]}
    assert list(shown) == [bare, other, relative]
    assert shown[bare]["destinations"] == [] and shown[bare]["file_path"] is None
    assert (shown[relative]["file_path"], shown[relative]["file_size"]) == ("./mysql/old.sql.gz", 7)
    assert (shown[other]["file_path"], shown[other]["checksum"]) == (absolute, "c0ffee")
    info = shown[relative]["destinations"][0]["file_info"]
    assert (info["exists"], info["absolute_path"]) == (True, f"{legacy}/mysql/old.sql.gz")
    info = shown[other]["destinations"][0]["file_info"]
    assert (info["exists"], info["absolute_path"], info["file_size_on_disk"]) == (True, absolute, 9)


def test_no_secret_leaves(bm, api):
    database = add_database(bm)
    backup = add_backup(bm, database, "b", "failed")
    nested = {"bucket": "b", "secret_access_key": "LEAK1", "proxy": {"url": "https://u:LEAK2@h/"}, "credentials_ref": "env:NAME"}
    for i, config in enumerate((json.dumps(nested), '{"password": "LEAK3"', '["LEAK4"]', '{"bucket": "b"}')):
        add_copy(bm, backup, "s3", f"k{i}", "failed", storage_config=config, priority=i)
    text = json.dumps(api.details(database))
    for secret in ("LEAK", "fernet-secret", "option-secret", "HIDDEN_REFERENCE", "password_"):
        assert secret not in text
    configs = [d["storage_config"] for d in api.details(database)["recent_backups"][0]["destinations"]]
    assert json.loads(configs[0]) == {"bucket": "b", "secret_access_key": "***", "proxy": "***", "credentials_ref": "env:NAME"}
    assert configs[1:] == ["***", "***", '{"bucket": "b"}']
    assert "LEAK" not in api.process.log()


def test_limit(bm, api):
    database = add_database(bm)
    other = add_database(bm, "other")
    add_backup(bm, other, "elsewhere")
    ids = [add_backup(bm, database, f"b{i}") for i in range(60)]
    shown = api.details(database)["recent_backups"]
    assert [b["id"] for b in shown] == ids[:9:-1] and shown[0]["destinations"] == []
    assert [b["id"] for b in api.details(database, "?limit=1")["recent_backups"]] == ids[-1:]
    assert len(api.details(database, "?limit=200")["recent_backups"]) == 60
    assert api.details(other)["recent_backups"][0]["name"] == "elsewhere"
    for bad in ("0", "201", "-1", "x", "", "1e2", "99999999999999999999", "1;drop", "%00"):
        assert api.get(f"/api/databases/{database}/details?limit={bad}", expect=400)["errors"][0]["field"] == "limit"


def test_errors(bm, api):
    assert "no database 4711" in api.get("/api/databases/4711/details", expect=404)["detail"]
    assert "so large an id" in api.get(f"/api/databases/{'9' * 40}/details", expect=404)["detail"]
    for bad in ("0", "-1", "x", "1x", "%20", "1%2e", "", "%ff%fe", "1%27--", ".."):
        api.get(f"/api/databases/{bad}/details", expect=400)
    for path in ("/", "/api", "/api/databases/1", "/api/databases/1/details/", "/api/databases/1/2/details", "/api/databases/details"):
        api.get(path, expect=404)
    for method in ("POST", "PUT", "DELETE", "PATCH", "FROBNICATE"):
        status, body, headers = api.request("/healthz", method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD, OPTIONS") and body["detail"]
    assert api.request("/healthz", "POST", b"x" * 100)[0] == 405
    status, body, headers = api.request("/healthz", data=b"x", method="GET")
    assert status == 400 and "body" in body["detail"] and headers["Connection"].lower() == "close"
    status, body, headers = api.request("/healthz", "HEAD")
    assert (status, body) == (200, None) and int(headers["Content-Length"]) > 0


def test_tables_missing(bm, empty_database):
    api = Api(bm, BM_DATABASE_URL=bm.postgres.dsn(empty_database))
    assert "backupctl migrate up" in api.get("/api/databases/1/details", expect=503)["detail"]


# -- clients that mean no good


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"GET\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",  # no Host
        b"GET " + b"/x" * 40000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Y: z\r\n" * 20000 + b"\r\n",
        b"\r\n" * 20000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    ],
    ids=range(9),
)
def test_garbage(api, data):
    try:
        answer = api.raw(data + b"Connection: close\r\n\r\n")
        assert b" 200 " not in answer.split(b"\r\n")[0], answer
    except ConnectionError:
        pass  # closed with something unread
    assert api.get("/healthz")["status"] == "ok"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 44\r\n",
        b"Content-Length: 0\r\nContent-Length: 44\r\n",
        b"Content-Length: 44\r\nContent-Length: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_smuggling(api, method, framing):
    """A request within a body is never served."""
    inner = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n0\r\n\r\n"
    answer = b""
    try:
        answer = api.raw(method + b" /nowhere HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n" + inner)
    except ConnectionError:
        pass
    assert answer.count(b"HTTP/1.1 ") <= 1 and b" 200 " not in answer, answer


def test_many_at_once(bm, api):
    base = bm.directory("base")
    databases = []
    for n in range(4):
        databases.append(add_database(bm, f"d{n}"))
        for i in range(10):
            write(f"{base}/{n}/{i}", i)
            backup = add_backup(bm, databases[n], f"d{n}b{i}")
            add_copy(bm, backup, "local", f"{n}/{i}", base_path=base)
            add_copy(bm, backup, "local_external", f"{n}/missing{i}", base_path=base, priority=1)

    def ask(i):
        n = i % 4
        answer = api.details(databases[n])
        assert [b["name"] for b in answer["recent_backups"]] == [f"d{n}b{k}" for k in reversed(range(10))]
        for k, backup in zip(reversed(range(10)), answer["recent_backups"]):
            there, missing = (c["file_info"] for c in backup["destinations"])
            assert (there["exists"], there["file_size_on_disk"], missing["exists"]) == (True, k, False)
        return api.get("/readyz")["status"]

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        assert set(pool.map(ask, range(300))) == {"ready"}


def test_keep_alive(api):
    with socket.create_connection(api.socket_address, timeout=60) as s:
        answers = s.makefile("rb")
        s.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n" * 20)  # pipelined
        for _ in range(20):
            assert answers.readline().startswith(b"HTTP/1.1 200")
            length = 0
            while (line := answers.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert json.loads(answers.read(length))["status"] == "ready"


def test_slow_clients(bm, api):
    """Idle ones, one in the middle of its headers, ones that do not take a large answer, ones that left: the others
    are served, and SIGTERM still ends the server."""
    database = add_database(bm)
    bm.query("INSERT INTO backups (name, database_id, status, created_by, error_message) "
             "SELECT 'b' || n, %s, 'failed', u.id, repeat('x', 50000) "
             "FROM generate_series(1, 200) n, (SELECT id FROM users LIMIT 1) u", database)  # fmt: skip
    large = f"GET /api/databases/{database}/details?limit=200 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n\r\n".encode()
    sockets = []
    for i in range(300):
        s = socket.create_connection(api.socket_address)
        sockets.append(s)
        if i % 3 == 0:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        if i < 4:
            s.sendall(b"st: x\r\n\r\n" + large if i % 3 == 0 else large)
    for _ in range(20):
        with socket.create_connection(api.socket_address) as s:
            s.sendall(large)
    for _ in range(20):
        assert api.get("/readyz")["status"] == "ready"
    assert len(api.details(database, "?limit=200")["recent_backups"]) == 200
    api.process.terminate()
    for s in sockets:
        s.close()


# -- servers that go away


def test_postgresql_killed_and_restarted(programs, own_postgres, redis, tmp, env, wait_for):
    own_postgres.create_database("own")
    system = System(programs, own_postgres, redis, "own", tmp, {**env, "BM_DATABASE_URL": own_postgres.dsn("own")})
    try:
        system.ctl("migrate", "up")
        api = Api(system)
        database = add_database(system)
        api.details(database)
        own_postgres.kill()
        status, body, headers = api.request(f"/api/databases/{database}/details")
        assert status == 503 and body["detail"] and headers["Retry-After"]
        assert api.get("/readyz", expect=503)["detail"] == "PostgreSQL does not answer"
        assert api.get("/healthz")["status"] == "ok"
        own_postgres.start()
        wait_for(lambda: api.request(f"/api/databases/{database}/details")[0] == 200)
        wait_for(lambda: api.request("/readyz")[0] == 200)  # it has a connection, and a backoff, of its own
        assert api.get("/readyz")["status"] == "ready"
        api.process.terminate()
    finally:
        system.close()


def test_impatient_end(bm, api):
    """A second SIGTERM changes nothing."""
    with socket.create_connection(api.socket_address) as s:
        s.sendall(b"GET /")
        for _ in range(50):
            api.process.signal(15)
        api.process.wait()


def ask_all(wait_for, addresses, path, token=""):
    """One connection per address with a request that has arrived over there, accepted or not."""
    sockets = []
    for address in addresses:
        s = socket.create_connection(address, timeout=60)
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        sockets.append(s)

    def unacknowledged(s):
        return struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0]

    wait_for(lambda: not any(map(unacknowledged, sockets)))
    return sockets


def statuses(sockets):
    """What each is answered until the server closes."""
    found = []
    for s in sockets:
        with s:
            found.append(s.makefile("rb").read().split(b"\r\n")[0])
    return found


def test_starts_without_servers_and_ends_amid_requests(bm, wait_for):
    """SIGTERM while requests wait for a PostgreSQL that never answers: each gets an answer, the exit is clean."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x"
        api = Api(bm, BM_DATABASE_URL=url, BM_REDIS_URL="unix:///nowhere")
        asked = ask_all(wait_for, [api.socket_address] * 16, "/api/databases/1/details", api.token)
        silent.accept()[0].recv(1)
        api.process.signal(15)
        assert set(statuses(asked)) == {b"HTTP/1.1 503 Service Unavailable"}
        api.process.terminate()


def test_ends_with_requests_nobody_accepted(api, wait_for):
    """SIGTERM finds connections in the socket's backlog, more than are accepted in one go: each gets its answer."""
    api.process.pause()
    asked = ask_all(wait_for, [api.socket_address] * 100, "/healthz")
    api.process.signal(15)
    api.process.resume()
    assert set(statuses(asked)) == {b"HTTP/1.1 200 OK"}
    api.process.terminate()


def test_ends_amid_a_slow_answer(bm, api, wait_for):
    """PostgreSQL answers later than the end can wait for: an error in time, not a closed connection."""
    database = add_database(bm)
    with bm.postgres.connect(bm.database) as lock, lock.cursor() as cursor:
        lock.autocommit = False
        cursor.execute("LOCK TABLE databases")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(api.request, f"/api/databases/{database}/details")
            wait_for(lambda: bm.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))
            api.process.terminate()
            assert asked.result()[0] == 503
        lock.rollback()
