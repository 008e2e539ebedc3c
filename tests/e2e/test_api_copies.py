"""Copies through backup-api: downloads, from disks and stores, whole and in ranges; checks, removals and tests of
destinations, which run as operations."""

import concurrent.futures
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import urllib.parse

import pytest

from harness.api import ApiServer, make_token
from harness.backup_rows import add_backup, add_copy, add_database, insert
from harness.dead_mount import SIZE, DeadMount, why_not
from harness import object_stores
from harness.object_stores import MIB, secret_file
from harness.waiting import wait_for

WINDOW = 4 * MIB


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

    def open(self, path, role="operator"):
        """A request whose answer is read by hand."""
        connection = http.client.HTTPConnection(*self.socket_address, timeout=60)
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.tokens[role]}"})
        return connection, connection.getresponse()


@pytest.fixture
def api(bm):
    return Api(bm)


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
    head = api.get(made.path, 206, method="HEAD", Range="bytes=10-19")
    assert head.bytes == b"" and head.headers["Content-Length"] == "10"
    unchanged = api.get(made.path, 304, If_None_Match=f'"x", "{made.sha256}"')
    assert unchanged.bytes == b"" and unchanged.headers["ETag"] == f'"{made.sha256}"'
    assert unchanged.headers.get("Content-Length") in (None, str(size))
    assert api.get(made.path, 304, If_None_Match=f'"{made.sha256}"', Range=f"bytes={size}-").bytes == b""


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
    problem = api.get(made.of(2), None or 502).json["detail"]
    assert "'c'" in problem and "ermission" in problem
    os.unlink(made.paths[3])
    refused = api.get(made.path, 404)
    assert all(f"'{name}'" in refused.json["detail"] for name in "abcd")
    assert refused.headers["ETag"] is None and refused.headers["Content-Disposition"] is None
    assert bm.value("SELECT verification_result FROM backup_destinations WHERE id = %s", made.copies[1]).startswith("corrupt: ")


def cut(api, path):
    """What came, and that the connection ended before the whole had."""
    connection, answer = api.open(path)
    assert answer.status == 200
    with pytest.raises(http.client.IncompleteRead) as e:
        answer.read()
    connection.close()
    return e.value.partial


@pytest.mark.parametrize("size", [100, WINDOW, 3 * WINDOW + 100])
def test_damage_cuts_the_connection(bm, api, size):
    """The last bytes of a copy whose digest is wrong are never sent; ranges can't be checked."""
    made = Made(bm, content(size))
    wrong = bytearray(made.data)
    wrong[size // 2] ^= 1
    made.overwrite(0, wrong)
    got = cut(api, made.path)
    assert len(got) < size and wrong.startswith(got)
    result = wait_for(lambda: bm.value("SELECT verification_result FROM backup_destinations WHERE id = %s", made.copies[0]))
    assert result.startswith("corrupt: the SHA-256")
    event = bm.query("SELECT * FROM audit_log WHERE action = 'download_damaged'")[0]
    assert event["object_id"] == made.copies[0] and event["changes"]["storage_name"] == "main"
    assert re.search(r"it is damaged; the connection is cut", api.process.log())
    assert api.get(made.path, 206, Range="bytes=0-9").bytes == made.data[:10]
    assert api.get("/api/me").status == 200


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
    slow = [api.open(made.path) for _ in range(10)]
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
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(a.bytes == made.data for a in pool.map(lambda _: api.get(made.path), range(32)))
    large = Made(bm, content(64 * MIB), "large", file="large")
    held = [api.open(large.path) for _ in range(32)]
    assert all(answer.status == 200 for _, answer in held)
    refused = api.get(made.path, 503)
    assert refused.headers["Retry-After"] and "32 downloads" in refused.json["detail"]
    for connection, _ in held:
        connection.close()
    wait_for(lambda: api.ask("GET", made.path, token=api.tokens["operator"]).status == 200)


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
            for _ in range(20):
                assert api.get(good.path).bytes == b"good"
            assert "has not answered for 30 s" in late.result().json["detail"]
        assert "does not answer" in api.get(f"/api/backups/{backup}/download", 503).json["detail"]  # at once
        mount.answer()
        path = f"/api/backups/{backup}/download"
        wait_for(lambda: b"does not answer" not in api.ask("GET", path, token=api.tokens["operator"]).bytes)
    finally:
        mount.close()
