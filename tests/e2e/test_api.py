"""backup-api: its settings, its health, its end, and a server that no client can upset."""

import concurrent.futures
import contextlib
import fcntl
import json
import os
import re
import selectors
import socket
import struct
import subprocess
import termios
import types
import urllib.error
import urllib.request

import pytest

from harness.api import make_token
from harness.backup_rows import add_database
from harness.contract import contract_of
from harness.system import System


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
            with urllib.request.urlopen(f"http://{self.address}/openapi.json", timeout=60) as document:
                self.contract = contract_of(document.read())

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
        value = json.loads(body) if body else None
        self.contract.check(method, path, data, types.SimpleNamespace(status=status, headers=fields, bytes=body, json=value))
        return status, value, fields

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


# -- errors


def test_errors(bm, api):
    assert "no database 4711" in api.get("/api/databases/4711/details", expect=404)["detail"]
    assert "so large an id" in api.get(f"/api/databases/{'9' * 40}/details", expect=404)["detail"]
    for bad in ("0", "-1", "x", "1x", "%20", "1%2e", "", "%ff%fe", "1%27--", ".."):
        api.get(f"/api/databases/{bad}/details", expect=400)
    api.get("/api/databases/details", expect=400)
    for path in ("/api", "/api/", "/api/databases/1", "/api/databases/1/details/", "/api/databases/1/2/details"):
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


def test_alive_while_postgresql_hangs(bm, api):
    """Whoever asks whether the process lives is told so, however many others wait; else it would be restarted for nothing."""
    holder = bm.postgres.connect(bm.database)
    holder.autocommit = False
    with contextlib.ExitStack() as waiting, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE api_tokens IN ACCESS EXCLUSIVE MODE")
        socks = [waiting.enter_context(socket.create_connection(api.socket_address, timeout=60)) for _ in range(300)]
        for i, sock in enumerate(socks):
            sock.sendall(f"GET /api/databases HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bm_{i:043}\r\n\r\n".encode())
        refused = selectors.DefaultSelector()
        for sock in socks:
            refused.register(sock, selectors.EVENT_READ)
        assert [key.fileobj.recv(12) for key, _ in refused.select(60)][0] == b"HTTP/1.1 503"
        assert api.get("/healthz")["status"] == "ok"
        holder.rollback()
    holder.close()


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
