"""A running backup-api, and the ways to ask it: as nobody, with a token, or with a session's cookie."""

import gzip
import hashlib
import http.client
import json
import secrets
import socket

from harness.contract import contract_of


def make_token(system, role="admin", **columns):
    """A token of the command line's, without a run of backupctl."""
    token = "bm_" + secrets.token_urlsafe(32)
    row = {"name": "t" + secrets.token_hex(8), "role": role, **columns}
    system.query(
        f"INSERT INTO api_tokens (secret_hash, {', '.join(row)}) VALUES (%s{', %s' * len(row)})",
        hashlib.sha256(token.encode()).hexdigest(), *row.values(),
    )  # fmt: skip
    return token


class Answer:
    def __init__(self, answer):
        self.status = answer.status
        self.headers = answer.headers
        self.bytes = answer.read()
        is_json = "json" in answer.headers.get("Content-Type", "")
        packed = self.bytes and answer.headers.get("Content-Encoding") == "gzip"
        self.json = json.loads(gzip.decompress(self.bytes) if packed else self.bytes) if is_json and self.bytes else None

    def __repr__(self):
        return f"{self.status} {self.headers.items()} {self.bytes[:2000]}"


class ApiServer:
    def __init__(self, system, *options, **env):
        self.process = system.process([system.programs.api, *options], "api", {"BM_LISTEN": "127.0.0.1:0", **env})
        self.process.start()
        self.address = self.process.wait_log(r"listening on (\S+)").group(1)
        host, port = self.address.rsplit(":", 1)
        self.socket_address = (host, int(port))
        self.contract = contract_of(self._send("GET", "/openapi.json", None, {}, 60).bytes)

    def ask(self, method, path, body=None, token=None, headers=None, bound=60):
        """body: anything that JSON can say, or bytes. The answer is held against /openapi.json."""
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        answer = self._send(method, path, data, sent, bound)
        self.contract.check(method, path, data, answer)
        return answer

    def _send(self, method, path, data, headers, bound):
        connection = http.client.HTTPConnection(*self.socket_address, timeout=bound)
        try:
            connection.request(method, path, data, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def log_in(self, username, password, expect=200, **headers):
        answer = self.ask("POST", "/api/login", {"username": username, "password": password}, headers=headers)
        assert answer.status == expect, answer
        return Session(self, answer) if expect == 200 else answer

    def connect(self):
        return socket.create_connection(self.socket_address, timeout=60)


def assert_downloads(system, backup):
    """Each copy of a backup comes through a backup-api, whole and in ranges."""
    api, token = ApiServer(system), make_token(system, "operator")
    for row in system.rows(backup):
        path = f"/api/backups/{backup}/copies/{row['id']}/download"
        whole = api.ask("GET", path, token=token)
        assert (whole.status, hashlib.sha256(whole.bytes).hexdigest()) == (200, row["checksum"]), (row, whole)
        for first, last in [(0, 0), (row["file_size"] // 2, row["file_size"] - 1)]:
            part = api.ask("GET", path, token=token, headers={"Range": f"bytes={first}-{last}"})
            assert (part.status, part.bytes) == (206, whole.bytes[first : last + 1]), (row, part)


class Session:
    """Somebody who logged in, as a page in a browser: cookie, and the CSRF header with what changes something."""

    def __init__(self, server, answer):
        self.server = server
        self.set_cookie = answer.headers["Set-Cookie"]
        self.cookie = self.set_cookie.split(";")[0].split("=", 1)[1]
        self.csrf = answer.json["csrf_token"]
        self.facts = answer.json

    def ask(self, method, path, body=None, headers=None):
        sent = {"Cookie": f"bm_session={self.cookie}", **(headers or {})}
        if method not in ("GET", "HEAD"):
            sent.setdefault("X-CSRF-Token", self.csrf)
        return self.server.ask(method, path, body, headers={k: v for k, v in sent.items() if v is not None})
