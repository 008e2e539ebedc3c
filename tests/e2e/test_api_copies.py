"""Copies through backup-api: downloads, from disks and stores, whole and in ranges; checks, removals and tests of
destinations, which run as operations."""

import concurrent.futures
import hashlib
import http.client
import json
import os
import re
import signal
import urllib.parse

import pytest

from harness import object_stores
from harness.api import ApiServer, make_token
from harness.backup_rows import add_backup, add_copy, add_database
from harness.dead_mount import SIZE, DeadMount, why_not
from harness.object_stores import MIB, secret_file
from harness.waiting import wait_for

WINDOW = 4 * MIB
PASSWORD = "correct horse battery"


class Api(ApiServer):
    def __init__(self, bm, **env):
        super().__init__(bm, **env)
        self.bm = bm
        self.tokens = {role: make_token(bm, role) for role in ("viewer", "operator", "admin")}

    def get(self, path, expect=200, role="operator", method="GET", **headers):
        answer = self.ask(method, path, token=self.tokens[role], headers={k.replace("_", "-"): v for k, v in headers.items()})
        assert answer.status == expect, answer
        if expect >= 400 and method != "HEAD":
            assert answer.headers["Content-Type"] == "application/problem+json" and answer.json["detail"]
        return answer

    def post(self, path, body=None, expect=202, role="operator", method="POST"):
        answer = self.ask(method, path, body, self.tokens[role])
        assert answer.status == expect, answer
        return answer

    def open(self, path, token=None):
        """A request whose answer is read by hand."""
        connection = http.client.HTTPConnection(*self.socket_address, timeout=60)
        connection.request("GET", path, headers={"Authorization": f"Bearer {token or self.tokens['operator']}"})
        return connection, connection.getresponse()


@pytest.fixture
def api(bm):
    return Api(bm)


def session_of(bm, api, name):
    """A new operator, who has logged in."""
    bm.ctl("user", "add", name, "--role", "operator", "--ask", stdin=PASSWORD + "\n")
    return api.log_in(name, PASSWORD)


def content(size, seed=b"x"):
    """Bytes no two windows of which are alike."""
    block = b"".join(hashlib.sha256(seed + str(i).encode()).digest() for i in range(2048))
    return b"".join(bytes([i % 251]) + block for i in range(size // len(block) + 1))[:size]


class Made:
    """A completed backup with copies on disks, by plain SQL."""

    def __init__(self, bm, data, name="production_20251102_080000", copies=("main",), file="production/dump.sql.gz", **columns):
        self.bm, self.data, self.sha256 = bm, data, hashlib.sha256(data).hexdigest()
        self.database = bm.value("SELECT min(id) FROM databases") or add_database(bm)
        self.id = add_backup(bm, self.database, name)
        self.copies, self.paths = [], []
        for i, place in enumerate(copies):
            path = os.path.join(bm.directory(place), file)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data)
            os.chmod(path, 0o666)
            os.chmod(os.path.dirname(path), 0o777)
            row = {"storage_name": place, "base_path": bm.directory(place), "priority": i, "file_size": len(data),
                   "checksum": self.sha256, **columns}  # fmt: skip
            self.paths.append(path)
            self.copies.append(add_copy(bm, self.id, "local", file, **row))
        self.path = f"/api/backups/{self.id}/download"

    def of(self, i):
        return f"/api/backups/{self.id}/copies/{self.copies[i]}/download"

    def overwrite(self, i, data):
        with open(self.paths[i], "wb") as f:
            f.write(data)


# -- downloads from disks


@pytest.mark.parametrize("size", [0, 1, 1000, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW, 5 * WINDOW + 12345])
def test_download(bm, api, size):
    made = Made(bm, content(size))
    for path in (made.path, made.of(0)):
        answer = api.get(path)
        assert answer.bytes == made.data
        assert answer.headers["Content-Length"] == str(size) and answer.headers["Content-Type"] == "application/gzip"
        assert answer.headers["ETag"] == f'"{made.sha256}"' and answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Content-Disposition"] == "attachment; filename=\"dump.sql.gz\"; filename*=UTF-8''dump.sql.gz"
        assert answer.headers.get("Content-Encoding") is None
    head = api.get(made.path, method="HEAD")
    assert head.bytes == b"" and head.headers["Content-Length"] == str(size) and head.headers["ETag"] == f'"{made.sha256}"'
    log = bm.query("SELECT * FROM audit_log WHERE action = 'download' ORDER BY id")
    assert len(log) == 2  # HEAD takes nothing away
    assert log[0]["object_kind"] == "backup" and log[0]["object_id"] == made.id and log[0]["token_name"]
    assert log[0]["object_name"] == "production_20251102_080000" and log[0]["changes"]["bytes"] == size


def test_ranges(bm, api):
    size = 2 * WINDOW + 777
    made = Made(bm, content(size))
    for text, first, last in [("0-0", 0, 0), ("0-99", 0, 99), (f"{WINDOW - 1}-{WINDOW}", WINDOW - 1, WINDOW), ("5-", 5, size - 1),
                              ("-1", size - 1, size - 1), (f"-{size + 5}", 0, size - 1), (f"100-{size + 100}", 100, size - 1),
                              (f"{WINDOW - 3}-{2 * WINDOW + 5}", WINDOW - 3, 2 * WINDOW + 5)]:  # fmt: skip
        answer = api.get(made.path, 206, Range=f"bytes={text}")
        assert answer.bytes == made.data[first : last + 1], text
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert answer.headers["ETag"] == f'"{made.sha256}"'
    refused = api.get(made.path, 416, Range=f"bytes={size}-")
    assert refused.headers["Content-Range"] == f"bytes */{size}" and refused.headers["ETag"] is None
    assert refused.headers["Content-Disposition"] is None
    for nonsense in ("bytes=5-4", "lines=1-2", "bytes=0-1,5-6", "bytes=x"):
        assert len(api.get(made.path, 200, Range=nonsense).bytes) == size
    assert api.get(made.path, 206, Range="bytes=1-2", If_Range=f'"{made.sha256}"').bytes == made.data[1:3]
    assert len(api.get(made.path, 200, Range="bytes=1-2", If_Range='"other"').bytes) == size
    head = api.get(made.path, 200, method="HEAD", Range="bytes=10-19")  # RFC 9110, 14.2: GET alone has ranges
    assert head.bytes == b"" and head.headers["Content-Length"] == str(size) and head.headers["Content-Range"] is None
    unchanged = api.get(made.path, 304, If_None_Match=f'"x", "{made.sha256}"')
    assert unchanged.bytes == b"" and unchanged.headers["ETag"] == f'"{made.sha256}"'
    assert unchanged.headers.get("Content-Length") in (None, str(size))
    assert api.get(made.path, 304, If_None_Match=f'"{made.sha256}"', Range=f"bytes={size}-").bytes == b""


def test_parts_are_written_down_once_in_a_while(bm):
    """Who took which copy, when, and from where: a client that takes it in many parts is not told of hundreds of times."""
    api = Api(bm, BM_TRUSTED_PROXIES="127.0.0.1")
    made = Made(bm, content(100000), copies=("a", "b"))
    other = Made(bm, content(1000), "other", copies=("c",))

    def rows():
        return [(r["changes"]["copy"], r["changes"]["first_byte"], r["changes"]["bytes"], r["changes"].get("other_parts_for_seconds"))
                for r in bm.query("SELECT changes FROM audit_log WHERE action = 'download' ORDER BY id")]  # fmt: skip

    for i in range(100):
        assert api.get(made.of(0), 206, Range=f"bytes={i * 1000}-{i * 1000 + 999}").bytes == made.data[i * 1000 :][:1000]
    expected = [(made.copies[0], 0, 1000, 600)]
    assert rows() == expected
    assert api.get(made.of(0)).bytes == made.data  # the whole always is
    assert api.get(made.of(0), 206, Range="bytes=0-").bytes == made.data
    expected += [(made.copies[0], 0, 100000, None)] * 2
    assert rows() == expected
    for path, copy in [(made.of(1), made.copies[1]), (other.path, other.copies[0])]:
        for _ in range(3):
            api.get(path, 206, Range="bytes=5-9")
        expected.append((copy, 5, 5, 600))
    api.get(made.of(0), 206, role="admin", Range="bytes=7-")
    expected.append((made.copies[0], 7, 99993, 600))
    for _ in range(3):
        api.get(made.of(0), 206, Range="bytes=8-8", X_Forwarded_For="198.51.100.7")
    expected.append((made.copies[0], 8, 1, 600))
    assert rows() == expected

    bm.query("UPDATE audit_log SET at = at - interval '9 minutes'")
    api.get(made.of(0), 206, Range="bytes=9-9")
    assert rows() == expected
    bm.query("UPDATE audit_log SET at = at - interval '61 s'")
    for _ in range(3):
        api.get(made.of(0), 206, Range="bytes=9-9")
    expected.append((made.copies[0], 9, 1, 600))
    assert rows() == expected
    api.get(other.path)  # after the whole its parts are known to be taken
    api.get(other.path, 206, Range="bytes=5-9")
    assert rows() == expected + [(other.copies[0], 0, 1000, None)]
    session_of(bm, api, "olga").ask("GET", other.path, headers={"Range": "bytes=5-9"})
    assert bm.query("SELECT username, token_name FROM audit_log WHERE action = 'download' ORDER BY id DESC LIMIT 1") == [
        {"username": "olga", "token_name": None}]  # fmt: skip


def test_names_and_types(bm, api):
    names = {"a b.tar": ("application/x-tar", "a b.tar", "a%20b.tar"), 'q"u\\o%te.zip': ("application/zip", "q_u_o_te.zip", "q%22u%5Co%25te.zip"),
             "übung.sql": ("application/sql", "__bung.sql", "%C3%BCbung.sql"), "plain": ("application/octet-stream", "plain", "plain"),
             "x" * 240 + ".json": ("application/octet-stream", "x" * 240 + ".json", "x" * 240 + ".json")}  # fmt: skip
    for i, (name, (type, ascii, encoded)) in enumerate(names.items()):
        made = Made(bm, b"some bytes", f"n{i}", file=f"deep/{name}")
        answer = api.get(made.path)
        assert answer.bytes == b"some bytes" and answer.headers["Content-Type"] == type
        assert answer.headers["Content-Disposition"] == f"attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}"
        assert urllib.parse.unquote(encoded) == name


def test_who_and_what(bm, api):
    made = Made(bm, b"bytes")
    for path in (made.path, made.of(0)):
        api.get(path, 403, role="viewer")
        assert api.ask("GET", path).status == 401
    assert "no such backup" in api.get("/api/backups/777/download", 404).json["detail"]
    assert "no such copy" in api.get(f"/api/backups/{made.id}/copies/777/download", 404).json["detail"]
    other = Made(bm, b"other", "other")
    api.get(f"/api/backups/{other.id}/copies/{made.copies[0]}/download", 404)
    for status in ("failed", "pending", "uploading"):
        bm.query("UPDATE backup_destinations SET status = %s WHERE id = %s", status, made.copies[0])
        assert "not completed" in api.get(made.of(0), 409).json["detail"]
        assert "no completed copy" in api.get(made.path, 409).json["detail"]
    empty = add_backup(bm, made.database, "empty", "failed")
    api.get(f"/api/backups/{empty}/download", 409)
    assert bm.value("SELECT count(*) FROM audit_log WHERE action = 'download'") == 0


def test_without_facts(bm, api):
    """Older rows: no checksum, no size, an absolute path."""
    made = Made(bm, content(WINDOW + 5), checksum=None, file_size=None)
    answer = api.get(made.path)
    assert answer.bytes == made.data and answer.headers["ETag"] is None
    assert api.get(made.path, 206, Range="bytes=1-3").bytes == made.data[1:4]
    assert len(api.get(made.path, 200, Range="bytes=1-3", If_Range='"x"').bytes) == len(made.data)


def test_the_next_copy_will_do(bm, api):
    """Gone, shorter, unreadable: the next one by priority answers; of one copy that is asked for, it is told."""
    made = Made(bm, content(1000), copies=("a", "b", "c", "d"))
    os.unlink(made.paths[0])
    made.overwrite(1, made.data[:500])
    os.chmod(made.paths[2], 0)
    assert api.get(made.path).bytes == made.data
    assert "not there" in api.get(made.of(0), 404).json["detail"]
    assert "500 bytes, recorded are 1000" in api.get(made.of(1), 502).json["detail"]
    problem = api.get(made.of(2), 502).json["detail"]
    assert "'c'" in problem and "ermission" in problem
    os.unlink(made.paths[3])
    refused = api.get(made.path, 404)
    assert all(f"'{name}'" in refused.json["detail"] for name in "abcd")
    assert refused.headers["ETag"] is None and refused.headers["Content-Disposition"] is None
    noted = wait_for(lambda: bm.value("SELECT verification_result FROM backup_destinations WHERE id = %s", made.copies[1]))
    assert noted.startswith("corrupt: ")


def cut(api, path):
    """What came, and that the connection ended before the whole had."""
    connection, answer = api.open(path)
    assert answer.status == 200
    with pytest.raises(http.client.IncompleteRead) as e:
        answer.read()
    connection.close()
    return e.value.partial


def damaged(made, i=0):
    wrong = bytearray(made.data)
    wrong[len(wrong) // 2] ^= 1
    made.overwrite(i, wrong)
    return wrong


@pytest.mark.parametrize("size", [100, WINDOW])
def test_damage_that_is_seen_in_time(bm, api, size):
    """All of it was read before the answer began: the next copy is as good, and without one there are words."""
    made = Made(bm, content(size), copies=("first", "second"))
    damaged(made)
    assert api.get(made.path).bytes == made.data
    detail = api.get(made.of(0), 502).json["detail"]
    assert "'first': the SHA-256 of the copy is" in detail and "it is damaged" in detail, detail
    damaged(made, 1)
    assert "'second'" in api.get(made.path, 502).json["detail"]
    for copy in made.copies:
        result = wait_for(lambda: bm.value("SELECT verification_result FROM backup_destinations WHERE id = %s", copy))
        assert result.startswith("corrupt: the SHA-256")
    assert bm.query("SELECT * FROM audit_log WHERE action = 'download'")[0]["changes"]["storage_name"] == "second"


@pytest.mark.parametrize("size", [WINDOW + 1, 3 * WINDOW + 100])
def test_damage_cuts_the_connection(bm, api, size):
    """The last bytes of a copy whose digest is wrong are never sent; ranges can't be checked."""
    made = Made(bm, content(size))
    wrong = damaged(made)
    got = cut(api, made.path)
    assert len(got) <= size // WINDOW * WINDOW and wrong.startswith(got)
    result = wait_for(lambda: bm.value("SELECT verification_result FROM backup_destinations WHERE id = %s", made.copies[0]))
    assert result.startswith("corrupt: the SHA-256")
    event = bm.query("SELECT * FROM audit_log WHERE action = 'download_damaged'")[0]
    assert event["object_id"] == made.copies[0] and event["changes"]["storage_name"] == "main"
    assert re.search(r"it is damaged; the connection is cut", api.process.log())
    assert api.get(made.path, 206, Range="bytes=0-9").bytes == made.data[:10]
    assert api.get("/api/me").status == 200


def test_no_priority_is_the_first(bm, api):
    """As it is shown: the specification's column may be null, and its default is 0."""
    made = Made(bm, content(100), copies=("a", "b"))
    bm.query("UPDATE backup_destinations SET priority = NULL WHERE id = %s", made.copies[0])
    made.overwrite(1, bytes(100))
    assert [c["id"] for c in api.get(f"/api/backups/{made.id}/copies").json["copies"]] == made.copies
    assert api.get(made.path).bytes == made.data


def test_a_copy_known_as_damaged_is_the_last_choice(bm, api):
    """Damage shows at the end of a download: who asks again gets the whole copy, not the same damage."""
    made = Made(bm, content(WINDOW + 1000), copies=("a", "b"))
    made.overwrite(0, bytes(WINDOW + 1000))
    cut(api, made.path)
    wait_for(lambda: bm.value("SELECT verification_result FROM backup_destinations WHERE id = %s", made.copies[0]))
    assert api.get(made.path).bytes == made.data
    os.unlink(made.paths[1])
    assert api.get(made.path, 206, Range="bytes=0-9").bytes == bytes(10)  # better than nothing


def test_a_copy_that_shrinks_meanwhile(bm, api):
    made = Made(bm, content(20 * WINDOW))
    connection, answer = api.open(made.path)
    assert answer.read(WINDOW) == made.data[:WINDOW]
    os.truncate(made.paths[0], 10 * WINDOW)
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    connection.close()


def resident(process):
    with open(f"/proc/{process.pid}/status") as f:
        facts = dict(line.split(":", 1) for line in f)
    return sum(int(facts[k].split()[0]) for k in ("RssAnon", "RssShmem")) * 1024


def test_slow_readers_cost_two_windows(bm, api):
    """Ten clients that take next to nothing of a large copy: what is read ahead is bounded, others are served."""
    made = Made(bm, content(64 * MIB))
    small = Made(bm, b"small", "small", file="small")
    before = resident(api.process)
    others = [make_token(bm, "operator") for _ in range(2)]
    slow = [api.open(made.path, others[i % 2]) for i in range(10)]
    for _, answer in slow:
        assert answer.read(1) == made.data[:1]
    for _ in range(20):
        assert api.get(small.path).bytes == b"small"
    assert resident(api.process) - before < 10 * (2 * WINDOW + 2 * MIB)
    for connection, answer in slow[:2]:
        assert answer.read() == made.data[1:]
    for connection, _ in slow:
        connection.close()
    assert api.get(made.path).bytes == made.data


def test_many_at_once_and_no_more(bm, api):
    made = Made(bm, content(3 * WINDOW))
    tokens = [make_token(bm, "operator") for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(a.bytes == made.data for a in pool.map(lambda _: api.get(made.path), range(32)))
    large = Made(bm, content(64 * MIB), "large", file="large")
    held = [api.open(large.path, tokens[i // 8]) for i in range(32)]
    assert all(answer.status == 200 for _, answer in held)
    refused = api.get(made.path, 503)
    assert refused.headers["Retry-After"] and "32 downloads" in refused.json["detail"]
    for connection, _ in held:
        connection.close()
    wait_for(lambda: api.ask("GET", made.path, token=api.tokens["operator"]).status == 200)


def test_one_user_leaves_room_for_the_others(bm, api):
    """A user's sessions and tokens count together, a token without a user for itself; whatever way a download ends, its
    place, and no other, is free again."""
    session = session_of(bm, api, "olga")
    olga = bm.value("SELECT id FROM users WHERE username = 'olga'")
    tokens = [make_token(bm, "operator", created_by=olga, name=name) for name in ("first", "second")]
    made, damaged = Made(bm, content(64 * MIB)), Made(bm, content(64 * MIB, b"y"), "damaged", file="damaged")
    small, unfinished = Made(bm, b"small", "small", file="small"), Made(bm, b"", "unfinished", file="u", status="failed")

    def place(path=made.path, token=tokens[1]):
        connection, answer = api.open(path, token)
        if answer.status == 200:
            return connection, answer
        assert answer.status == 429, answer.status
        connection.close()
        return None

    held = [place(token=tokens[i % 2]) for i in range(8)]
    assert all(held)
    refused = api.ask("GET", small.path, token=tokens[0])
    assert refused.status == 429 and refused.headers["Retry-After"] == "15"
    assert "8 of your downloads" in refused.json["detail"] and "stop one" in refused.json["detail"]
    assert session.ask("GET", small.path).status == session.ask("HEAD", small.path).status == 429
    assert api.get(small.path).bytes == b"small"  # by a token without a user

    def taken_whole(connection, answer):
        assert answer.read() == made.data

    def client_gone(connection, answer):
        connection.close()

    def cut(connection, answer):
        damaged.overwrite(0, b"short")
        with pytest.raises(http.client.IncompleteRead):
            answer.read()

    def token_revoked(connection, answer):
        bm.ctl("token", "revoke", "first")
        wait_for(lambda: api.ask("GET", small.path, token=tokens[0]).status == 401)
        assert place() is None
        taken_whole(connection, answer)

    for end in (token_revoked, taken_whole, client_gone, cut):
        end(*held.pop(0))
        held.insert(0, wait_for(lambda: place(damaged.path if end is client_gone else made.path)))
        assert place() is None, end.__name__

    held.pop()[0].close()
    wait_for(lambda: session.ask("GET", small.path).status == 200)
    for _ in range(3):  # what comes to nothing gives its place back
        for path, headers, status in [
            ("/api/backups/777/download", {}, 404), (unfinished.path, {}, 409), (damaged.path, {}, 502),
            (made.path, {"Range": f"bytes={64 * MIB}-"}, 416), (made.path, {"If-None-Match": f'"{made.sha256}"'}, 304),
        ]:  # fmt: skip
            wait_for(lambda: session.ask("GET", path, headers=headers).status == status)
        wait_for(lambda: session.ask("HEAD", made.path).status == 200)
    held.append(wait_for(place))
    assert place() is None
    for connection, _ in held:
        connection.close()


def test_the_server_ends_in_mid_download(bm, api):
    made = Made(bm, content(64 * MIB))
    held = [api.open(made.path) for _ in range(3)]
    api.process.signal(signal.SIGTERM)
    api.process.wait()
    api.process.check()
    for connection, _ in held:
        connection.close()


# -- downloads from stores


@pytest.fixture(params=[store.usual for store in object_stores.STORES])
def store(bm, request):
    with object_stores.opened(request.param, bm) as opened:
        yield opened


def stored(bm, store, size):
    """A backup that a worker brought there: (id, its bytes)."""
    store.destination("place", **store.in_parts)
    backup = store.backup_of(size, "place")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    return backup, store.fake.content(bm.rows(backup)[0]["file_path"])


def test_download_from_a_store(bm, api, store):
    backup, data = stored(bm, store, 13 * MIB)
    path = f"/api/backups/{backup}/download"
    answer = api.get(path)
    assert answer.bytes == data and hashlib.sha256(data).hexdigest() in answer.headers["ETag"]
    for first, last in [(0, 0), (WINDOW - 1, WINDOW), (5, len(data) - 1), (len(data) - 1, len(data) - 1)]:
        assert api.get(path, 206, Range=f"bytes={first}-{last}").bytes == data[first : last + 1]
    head = api.get(path, method="HEAD")
    assert head.headers["Content-Length"] == str(len(data))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(a.bytes == data for a in pool.map(lambda _: api.get(path), range(8)))


def test_a_store_that_goes_in_mid_download(bm, api, store):
    """Nothing is invented: what came is right, and the connection is cut. Later the store is asked in vain, and that is told."""
    backup, data = stored(bm, store, 13 * MIB)
    path = f"/api/backups/{backup}/download"
    connection, answer = api.open(path)
    assert answer.read(1) == data[:1]
    store.fake.close()
    try:
        answer.read()
        assert False, "the whole came from a store that is gone"
    except http.client.IncompleteRead as e:
        assert data[1:].startswith(e.partial)
    connection.close()
    assert "'place'" in api.get(path, 503).json["detail"]


def test_a_store_that_refuses(bm, api, store):
    backup, data = stored(bm, store, 100)
    secret_file(bm, "store-secret", store.credentials(store.wrong_secret))
    detail = api.get(f"/api/backups/{backup}/download", 502).json["detail"]
    assert "'place'" in detail and store.secret not in detail and store.wrong_secret not in detail


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_dead_mount(bm, api):
    """A disk that does not answer costs its own downloads a time limit, and nobody else anything."""
    mount = DeadMount(os.path.join(bm.tmp, "mount"), wait_for)
    try:
        database = add_database(bm)
        backup = add_backup(bm, database, "b")
        copy = add_copy(bm, backup, "local", "f1", base_path=mount.path, storage_name="nas", file_size=SIZE)
        good = Made(bm, b"good", "good")
        mount.hang()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            late = pool.submit(api.get, f"/api/backups/{backup}/copies/{copy}/download", 503)
            late_checks = [api.post(f"/api/backups/{backup}/verify") for _ in range(2)]
            for _ in range(20):
                assert api.get(good.path).bytes == b"good"
                assert operation(api, api.post(f"/api/backups/{good.id}/verify"))["result"]["ok"]
            assert "has not answered for 30 s" in late.result().json["detail"]
        assert "does not answer" in api.get(f"/api/backups/{backup}/download", 503).json["detail"]  # at once
        large = Made(bm, content(64 * MIB), "large", file="large")
        held = [api.open(large.path) for _ in range(7)]  # what hangs is the eighth
        assert all(answer.status == 200 for _, answer in held)
        assert "(1 of them end when their disk or store answers)" in api.get(good.path, 429).json["detail"]
        for connection, _ in held:
            connection.close()
        wait_for(lambda: api.ask("GET", good.path, token=api.tokens["operator"]).status == 200)
        for check in late_checks:
            found = operation(api, check)
            assert found["state"] == "failed" and "has not answered for 30 s" in found["error_message"]
        found = operation(api, api.post(f"/api/backups/{backup}/verify"))  # at once, too
        assert found["result"]["copies"][0]["verification_result"] == "unreachable: its disk does not answer"
        mount.answer()
        path = f"/api/backups/{backup}/download"
        wait_for(lambda: b"does not answer" not in api.ask("GET", path, token=api.tokens["operator"]).bytes)
        held = [api.open(large.path) for _ in range(8)]
        assert all(answer.status == 200 for _, answer in held)
        for connection, _ in held:
            connection.close()
    finally:
        mount.close()


# -- the copies themselves


def test_copies(bm, api):
    made = Made(bm, b"bytes", copies=("a", "b"), storage_config='{"secret_access_key": "hidden-secret"}')
    other = Made(bm, b"bytes", "other", copies=("c",))
    listed = api.get(f"/api/backups/{made.id}/copies", role="viewer")
    copies = listed.json["copies"]
    assert [c["id"] for c in copies] == made.copies and b"hidden-secret" not in listed.bytes
    assert copies == api.get(f"/api/backups/{made.id}", role="viewer").json["destinations"]
    assert copies[0]["storage_name"] == "a" and copies[0]["checksum"] == made.sha256 and copies[0]["file_size"] == 5
    assert api.get(f"/api/backups/{made.id}/copies/{made.copies[1]}", role="viewer").json == copies[1]
    api.get(f"/api/backups/{made.id}/copies/{other.copies[0]}", 404)
    api.get("/api/backups/777/copies", 404)
    api.get(f"/api/backups/{made.id}/copies?x=1", 400)
    api.get(f"/api/backups/{made.id}/copies", 304, role="viewer", If_None_Match=listed.headers["ETag"])


# -- operations


def operation(api, answer, bound=60):
    """What became of an operation that a 202 told of."""
    assert answer.headers["Location"] == f"/api/operations/{answer.json['id']}"
    assert answer.json["state"] in ("waiting", "running")

    def ended():
        now = api.get(answer.headers["Location"], role="viewer").json
        return now if now["state"] not in ("waiting", "running") else None

    return wait_for(ended, bound)


def verified(bm, made):
    return [(r["verified_at"] is not None, r["verification_result"])
            for r in bm.query("SELECT * FROM backup_destinations WHERE backup_id = %s ORDER BY priority", made.id)]  # fmt: skip


def test_verify(bm, api):
    made = Made(bm, content(WINDOW), copies=("a", "b", "c"))
    bm.query("UPDATE backup_destinations SET status = 'failed' WHERE id = %s", made.copies[2])
    answer = api.post(f"/api/backups/{made.id}/verify")
    found = operation(api, answer)
    assert (found["kind"], found["state"], found["backup_id"], found["object_name"]) == ("verify", "done", made.id, "production_20251102_080000")
    assert found["parameters"] == {"deep": False, "destination": None} and found["error_message"] is None and found["started_at"] and found["ended_at"]
    assert found["result"] == {"ok": True, "copies": [
        {"id": made.copies[i], "storage_name": "ab"[i], "ok": True, "verification_result": "ok: size"} for i in (0, 1)]}  # fmt: skip
    assert verified(bm, made) == [(True, "ok: size"), (True, "ok: size"), (False, None)]
    event = bm.query("SELECT * FROM audit_log WHERE action = 'backup_verify'")[0]
    assert event["object_id"] == made.id and event["token_name"] == found["requested_by"] and event["program"] == "backup-api"

    wrong = bytearray(made.data)
    wrong[17] ^= 4
    made.overwrite(1, wrong)
    assert operation(api, api.post(f"/api/backups/{made.id}/verify"))["result"]["ok"]  # sizes are right
    found = operation(api, api.post(f"/api/backups/{made.id}/verify", {"deep": True}))
    assert found["state"] == "done" and not found["result"]["ok"]
    assert [c["ok"] for c in found["result"]["copies"]] == [True, False]
    assert found["bytes_done"] == found["bytes_total"] == 2 * WINDOW
    assert verified(bm, made)[:2] == [(True, "ok: sha256"), (True, found["result"]["copies"][1]["verification_result"])]
    assert verified(bm, made)[1][1].startswith("corrupt: the SHA-256")
    # as backupctl says it
    assert json.loads(bm.ctl("backup", "verify", made.id, "--deep", "--json", check=False).stdout) == found["result"]["copies"]

    os.unlink(made.paths[1])
    found = operation(api, api.post(f"/api/backups/{made.id}/verify", {"destination": "b"}))
    assert [c["verification_result"] for c in found["result"]["copies"]] == ["not_found: the copy is not there"]


def test_verify_refused(bm, api):
    made = Made(bm, b"x")
    api.post(f"/api/backups/{made.id}/verify", role="viewer", expect=403)
    api.post("/api/backups/777/verify", expect=404)
    assert "destination" == api.post(f"/api/backups/{made.id}/verify", {"destination": "nowhere"}, 422).json["errors"][0]["field"]
    for body in ({"deep": 1}, {"destination": ""}, {"other": 1}):
        api.post(f"/api/backups/{made.id}/verify", body, 422)
    bm.query("UPDATE backup_destinations SET status = 'failed'")
    assert "no completed copy" in api.post(f"/api/backups/{made.id}/verify", expect=409).json["detail"]
    assert bm.value("SELECT count(*) FROM operations") == 0 and bm.value("SELECT count(*) FROM audit_log WHERE action LIKE 'backup%%'") == 0


def test_delete(bm, api):
    made = Made(bm, b"x" * 100, copies=("a", "b"))
    kept = Made(bm, b"y" * 100, "kept", copies=("a",), file="kept")
    api.post(f"/api/backups/{made.id}", role="operator", expect=403, method="DELETE")
    api.post("/api/backups/777", role="admin", expect=404, method="DELETE")
    bm.query("UPDATE backup_destinations SET status = 'uploading' WHERE id = %s", made.copies[1])
    assert "cancel" in api.post(f"/api/backups/{made.id}", role="admin", expect=409, method="DELETE").json["detail"]
    bm.query("UPDATE backup_destinations SET status = 'completed' WHERE id = %s", made.copies[1])

    found = operation(api, api.post(f"/api/backups/{made.id}", role="admin", method="DELETE"))
    assert found["state"] == "done" and found["result"] == {"ok": True, "copies": [
        {"id": made.copies[i], "storage_name": "ab"[i], "ok": True, "existed": True, "error_message": None} for i in (0, 1)]}  # fmt: skip
    assert not any(map(os.path.exists, made.paths)) and os.path.exists(kept.paths[0])
    api.get(f"/api/backups/{made.id}", 404)
    assert bm.value("SELECT count(*) FROM backup_destinations") == 1
    event = bm.query("SELECT * FROM audit_log WHERE action = 'backup_delete'")
    assert [(e["object_id"], e["object_name"], e["changes"]) for e in event] == [(made.id, "production_20251102_080000", {"forget_missing": False})]


def test_delete_forgets_no_copy_that_another_host_may_have(bm, api):
    made = Made(bm, b"x" * 100, copies=("a", "b"))
    os.unlink(made.paths[1])
    found = operation(api, api.post(f"/api/backups/{made.id}", role="admin", method="DELETE"))
    assert found["state"] == "failed" and "1 of 2" in found["error_message"]
    assert [c["ok"] for c in found["result"]["copies"]] == [True, False]
    assert "another" in found["result"]["copies"][1]["error_message"] and "forget_missing=true" in found["result"]["copies"][1]["error_message"]
    assert [r["id"] for r in bm.rows(made.id)] == [made.copies[1]] and api.get(f"/api/backups/{made.id}").status == 200
    api.post(f"/api/backups/{made.id}?forget_missing=maybe", role="admin", method="DELETE", expect=400)
    found = operation(api, api.post(f"/api/backups/{made.id}?forget_missing=true", role="admin", method="DELETE"))
    assert found["state"] == "done"
    api.get(f"/api/backups/{made.id}", 404)


def test_delete_goes_on_where_it_could_not(bm, api):
    """One disk is not there: its copy stays on record, the other's goes."""
    made = Made(bm, b"x" * 100, copies=("a", "b"))
    os.rename(bm.directory("b"), os.path.join(bm.tmp, "away"))
    found = operation(api, api.post(f"/api/backups/{made.id}?forget_missing=true", role="admin", method="DELETE"))
    assert found["state"] == "failed" and [r["id"] for r in bm.rows(made.id)] == [made.copies[1]]
    os.rename(os.path.join(bm.tmp, "away"), os.path.join(bm.tmp, "b"))
    assert operation(api, api.post(f"/api/backups/{made.id}", role="admin", method="DELETE"))["state"] == "done"
    assert not os.path.exists(made.paths[1])


def test_delete_leaves_the_final_name_of_a_failed_copy(bm, api):
    made = Made(bm, b"somebody else's", copies=("a",))
    bm.query("UPDATE backup_destinations SET status = 'failed'")
    bm.query("UPDATE backups SET status = 'failed'")
    assert operation(api, api.post(f"/api/backups/{made.id}", role="admin", method="DELETE"))["state"] == "done"
    assert os.path.exists(made.paths[0]) and bm.value("SELECT count(*) FROM backups") == 0


def test_destination_test(bm, api, store):
    base = bm.destination("disk")
    store.destination("place")
    ids = {r["name"]: r["id"] for r in bm.query("SELECT id, name FROM destinations")}
    for name in ("disk", "place"):
        path = f"/api/destinations/{ids[name]}/test"
        found = operation(api, api.post(path))
        assert found["state"] == "done" and found["result"]["ok"], found
        assert found["destination_id"] == ids[name] and found["object_name"] == name and found["backup_id"] is None
        steps = [s["step"] for s in found["result"]["steps"]]
        assert steps == ["settings", "the place is there", "write a probe", "see it and its size", "read it back and compare", "delete it"]
        assert found["result"]["steps"] == bm.ctl("destination", "test", name, json=True)
    assert os.listdir(base) == [] and store.fake.objects() == {}
    api.post(f"/api/destinations/{ids['disk']}/test", role="viewer", expect=403)
    api.post("/api/destinations/777/test", expect=404)
    api.post(f"/api/destinations/{ids['disk']}/test", {"x": 1}, 422)

    store.fails_for_ever("denied", store.small)
    os.rename(base, base + "-away")
    for name in ("disk", "place"):
        found = operation(api, api.post(f"/api/destinations/{ids[name]}/test"))
        assert found["state"] == "done" and not found["result"]["ok"]
        last = found["result"]["steps"][-1]
        assert not last["ok"] and last["error"] and last["advice"] and store.secret not in json.dumps(found)
    assert store.needs in json.dumps(found)
    assert bm.value("SELECT count(*) FROM audit_log WHERE action = 'destination_test' AND object_kind = 'destination'") == 4


def test_verify_and_delete_at_a_store(bm, api, store):
    backup, data = stored(bm, store, 13 * MIB)
    found = operation(api, api.post(f"/api/backups/{backup}/verify", {"deep": True}))
    assert found["result"]["ok"] and found["bytes_done"] == len(data)
    assert bm.rows(backup)[0]["verification_result"] == "ok: sha256"
    secret_file(bm, "store-secret", store.credentials(store.wrong_secret))
    other = Api(bm)  # which has not read the right one
    found = operation(other, other.post(f"/api/backups/{backup}", role="admin", method="DELETE"))
    assert found["state"] == "failed" and store.wrong_secret not in json.dumps(found)
    assert len(store.fake.objects()) == 1
    secret_file(bm, "store-secret", store.credentials())
    assert operation(api, api.post(f"/api/backups/{backup}", role="admin", method="DELETE"))["state"] == "done"
    assert store.fake.objects() == {} and bm.value("SELECT count(*) FROM backups") == 0


def test_delete_forgets_no_row_that_was_taken_meanwhile(bm, api):
    with object_stores.opened("minio", bm) as store:
        backup, _ = stored(bm, store, 100)
        store.fake.rule("hold", {"operation": "DeleteObject"})
        answer = api.post(f"/api/backups/{backup}", role="admin", method="DELETE")
        store.fake.wait_holding()
        bm.query("UPDATE backup_destinations SET fence = fence + 1")
        store.fake.release()
        found = operation(api, answer)
        assert found["state"] == "failed" and "has changed meanwhile" in found["error_message"]
        assert len(bm.rows(backup)) == 1


def slow_place(bm):
    """A store that holds what is read of it until it is told: (the server, a completed backup's id)."""
    opened = object_stores.opened("minio", bm)
    store = opened.__enter__()
    store.destination("slow")
    backup = store.backup_of(100, "slow", name="slow")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    store.fake.rule("hold", {"operation": "GetObject", "count": 0})
    return opened, store, backup


def test_bounds_and_lists(bm, api):
    """Four run, sixteen wait, the next is refused; then all are done, in order."""
    opened, store, backup = slow_place(bm)
    try:
        answers = [api.post(f"/api/backups/{backup}/verify", {"deep": True}) for _ in range(20)]
        refused = api.post(f"/api/backups/{backup}/verify", expect=503)
        assert refused.headers["Retry-After"]
        store.fake.wait_holding(count=4)
        states = [o["state"] for o in api.get("/api/operations", role="viewer").json["operations"]]
        wait_for(lambda: [o["state"] for o in api.get("/api/operations").json["operations"]].count("running") == 4)
        assert len(states) == 20
        store.fake.clear_rules()
        store.fake.release()
        assert all(operation(api, a)["state"] == "done" for a in answers)
    finally:
        opened.__exit__(None, None, None)
    ids = [a.json["id"] for a in answers]
    page = api.get("/api/operations?limit=7").json
    assert [o["id"] for o in page["operations"]] == ids[::-1][:7] and page["next_before"] == ids[13]
    rest = api.get(f"/api/operations?limit=100&before={page['next_before']}").json
    assert [o["id"] for o in rest["operations"]] == ids[::-1][7:] and rest["next_before"] is None
    assert len(api.get(f"/api/operations?backup_id={backup}&kind=verify&state=done").json["operations"]) == 20
    for query in ("kind=delete", "state=failed", "backup_id=777", "destination_id=1"):
        assert api.get(f"/api/operations?{query}").json == {"operations": [], "next_before": None}
    for query in ("kind=x", "state=x", "limit=0", "before=0", "backup_id=x", "y=1"):
        api.get(f"/api/operations?{query}", 400)
    api.get("/api/operations/777777", 404)


def test_a_server_that_dies(bm, api):
    """Its operations are interrupted, in the other server's answers as well, once their lease is over; nothing is lost."""
    other = Api(bm)
    opened, store, backup = slow_place(bm)
    try:
        answer = api.post(f"/api/backups/{backup}/verify", {"deep": True})
        store.fake.wait_holding()
        assert wait_for(lambda: other.get(answer.headers["Location"]).json["state"] == "running")
        api.process.kill()
        bm.query("UPDATE operations SET lease_until = clock_timestamp()")  # rather than wait for it
        found = other.get(answer.headers["Location"]).json
        assert found["state"] == "interrupted" and "ask for it again" in found["error_message"]
        assert [o["id"] for o in other.get("/api/operations?state=interrupted").json["operations"]] == [answer.json["id"]]
        assert bm.rows(backup)[0]["verified_at"] is None
        store.fake.clear_rules()
        store.fake.release()
        assert operation(other, other.post(f"/api/backups/{backup}/verify", {"deep": True}))["result"]["ok"]
    finally:
        opened.__exit__(None, None, None)


def test_a_server_that_ends(bm, api):
    """On SIGTERM what runs and what waits ends as failed, and that is written; no verdict is made of it."""
    opened, store, backup = slow_place(bm)
    try:
        answers = [api.post(f"/api/backups/{backup}/verify", {"deep": True}) for _ in range(6)]
        store.fake.wait_holding(count=4)
        api.process.signal(signal.SIGTERM)
        api.process.wait()
        api.process.check()
        states = bm.query("SELECT state, error_message FROM operations ORDER BY id")
        assert len(states) == len(answers) and {s["state"] for s in states} == {"failed"}
        assert all("the server ended" in s["error_message"] for s in states)
        assert bm.rows(backup)[0]["verification_result"] is None
    finally:
        store.fake.clear_rules()
        opened.__exit__(None, None, None)
