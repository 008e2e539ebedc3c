"""backup-api's HTTP server with routes of the tests' own (http_routes.c), and ways to ask it at the socket's level."""

import contextlib
import json
import os
import socket

from harness.processes import SANITIZER_ENV, Process
from harness.raw_http import read_answer

CLOSE = "Connection: close\r\n"


class HttpRoutes:
    def __init__(self, programs, tmp, descriptors=None, **limits):
        """descriptors: how many the process may have; None: as many as here."""
        few = ["prlimit", f"--nofile={descriptors}:{descriptors}"] if descriptors else []
        argv = [os.path.join(programs.build, "tests", "http_routes"), *(f"{name}={value}" for name, value in limits.items())]
        self.process = Process(argv, {**os.environ, **SANITIZER_ENV}, os.path.join(tmp, "http_routes.log"), few)
        self.process.start()
        host, port = self.process.wait_log(r"listening on (\S+)").group(1).rsplit(":", 1)
        self.address = (host, int(port))

    def connect(self, timeout=60):
        return socket.create_connection(self.address, timeout)

    def raw(self, data):
        """Everything that comes back until the server closes; what came before a reset, too."""
        if isinstance(data, str):
            data = data.encode()
        answer = b""
        with self.connect() as s:
            try:
                s.sendall(data)
                while block := s.recv(65536):
                    answer += block
            except ConnectionError:
                pass
        return answer

    def ask(self, method, target, headers=None, body=None, type="application/json"):
        """One request on a connection of its own: status, headers, body."""
        with self.connect() as s:
            return send(s, method, target, headers, body, type)

    def get(self, target, expect=200, **headers):
        answer = self.ask("GET", target, headers)
        assert answer.status == expect, (answer.status, answer.body)
        return json.loads(answer.body)

    def status(self):
        return self.get("/status")

    def resident(self):
        """Bytes of memory in use."""
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def connections(self):
        """How many it holds: what the kernel still sends to a client that takes nothing does not count."""
        folder, sockets = f"/proc/{self.process.pid}/fd", 0
        for fd in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                sockets += os.readlink(f"{folder}/{fd}").startswith("socket:")
        return sockets - 1

    def unread(self):
        """Bytes on their way to it or not read yet, over all connections."""
        port, total = f":{self.address[1]:04X}", 0
        with open("/proc/net/tcp") as table:
            for line in list(table)[1:]:
                local, remote, _, queues = line.split()[1:5]
                sent, received = (int(n, 16) for n in queues.split(":"))
                total += received * local.endswith(port) + sent * remote.endswith(port)
        return total

    def cpu_ticks(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


def request(method, target, headers=None, body=None, type="application/json"):
    """The bytes of a request. body: bytes, or anything that becomes JSON; None: none, and no Content-Length."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: x", *(f"{n}: {v}" for n, v in (headers or {}).items())]
    if body is not None:
        lines += [f"Content-Length: {len(body)}", *([f"Content-Type: {type}"] if type else [])]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


def send(sock, method, target, headers=None, body=None, type="application/json"):
    sock.sendall(request(method, target, headers, body, type))
    return read_answer(sock, method)


class Pipelined:
    """A socket from which read_answer may read one answer after the other: what it buffers is not lost."""

    def __init__(self, sock):
        self.reader = sock.makefile("rb")
        self.reader.close = lambda: None

    def makefile(self, mode):
        return self.reader


def is_closed(sock):
    """Waits until the server has closed; True at its end, whatever was sent before."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    return True
