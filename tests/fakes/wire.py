"""HTTP/1.1 on the server's side, with the door open to misbehaviour: every byte that leaves is sent by us.

Begin with Connection.read_head() and send_response(). One thread serves one connection; whoever needs a fault (a
reset, half an answer, silence) takes the socket's functions here and does it.
"""

import select
import socket
import ssl
import struct
import threading
import time
from urllib.parse import unquote_to_bytes

HEAD_MAX = 64 * 1024
CHUNK = 256 * 1024
REASONS = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    301: "Moved Permanently",
    304: "Not Modified",
    307: "Temporary Redirect",
    308: "Resume Incomplete",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    416: "Range Not Satisfiable",
    429: "Too Many Requests",
    499: "Client Closed Request",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    507: "Insufficient Storage",
}


class Gone(Exception):
    """The client went away, or this side has ended the connection on purpose."""


class BadRequest(Exception):
    """What came isn't HTTP."""


def percent_decode(text, plus_is_space=False):
    """Bytes that are not UTF-8 survive as surrogates, so that encoding again gives the same bytes."""
    if plus_is_space:
        text = text.replace("+", " ")
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")


class Request:
    """One request's head. `headers` are as received, in order; header() joins repeated ones by a comma."""

    def __init__(self, method, target, headers, tls):
        self.method = method
        self.target = target
        self.headers = headers
        self.tls = tls
        self.raw_path, _, self.raw_query = target.partition("?")
        self.path = percent_decode(self.raw_path)
        self.query_pairs = []
        for item in self.raw_query.split("&") if self.raw_query else []:
            name, _, value = item.partition("=")
            self.query_pairs.append((percent_decode(name, True), percent_decode(value, True)))
        self.query = dict(reversed(self.query_pairs))
        self.by_name = {}
        for name, value in headers:
            self.by_name.setdefault(name.lower(), []).append(value)

    def header(self, name, default=None):
        values = self.by_name.get(name.lower())
        return default if values is None else ",".join(values)

    @property
    def content_length(self):
        """None when the header is missing."""
        value = self.header("content-length")
        if value is None:
            return None
        if not value.isascii() or not value.isdigit():
            raise BadRequest(f"Content-Length: {value}")
        return int(value)

    @property
    def expects_continue(self):
        return self.header("expect", "").lower() == "100-continue"


class Response:
    """`body` is bytes, or (size, iterator of bytes) for what isn't held in memory."""

    def __init__(self, status, body=b"", headers=(), content_type=None):
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = dict(headers)
        self.code = None
        if content_type:
            self.headers["Content-Type"] = content_type

    @property
    def size(self):
        return self.body[0] if isinstance(self.body, tuple) else len(self.body)

    def pieces(self):
        if isinstance(self.body, tuple):
            yield from self.body[1]
        elif self.body:
            yield self.body

    def head(self, close=False, length=True):
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Status')}"]
        headers = dict(self.headers)
        if length and self.status != 204:
            headers.setdefault("Content-Length", str(self.size))
        if close:
            headers["Connection"] = "close"
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


class Connection:
    def __init__(self, sock, tls, number):
        self.sock = sock
        self.tls = tls
        self.number = number
        self.pending = b""
        self.sent = 0

    def _receive(self, size):
        try:
            return self.sock.recv(size)
        except TimeoutError:
            raise
        except OSError as e:
            raise Gone(str(e)) from None

    def read_head(self, idle_seconds):
        """The next request; None when the client has closed, or has been silent for too long between two."""
        self.sock.settimeout(idle_seconds)
        while b"\r\n\r\n" not in self.pending:
            if len(self.pending) > HEAD_MAX:
                raise BadRequest("head too long")
            try:
                data = self._receive(CHUNK)
            except TimeoutError:
                return None
            if not data:
                return None
            self.pending += data
        head, _, self.pending = self.pending.partition(b"\r\n\r\n")
        lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest(f"request line: {lines[0]!r}")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():
                raise BadRequest(f"header line: {line!r}")
            headers.append((name, value.strip()))
        return Request(words[0], words[1], headers, self.tls)

    def read_body(self, size, timeout_seconds):
        """Pieces of exactly `size` bytes in all. Gone when the client ends before; TimeoutError on silence."""
        self.sock.settimeout(timeout_seconds)
        while size > 0:
            if self.pending:
                data, self.pending = self.pending[:size], self.pending[size:]
            else:
                data = self._receive(min(size, CHUNK))
            if not data:
                raise Gone("the client closed in mid body")
            size -= len(data)
            yield data

    def _read_line(self):
        while b"\r\n" not in self.pending:
            if len(self.pending) > HEAD_MAX:
                raise BadRequest("line too long")
            data = self._receive(CHUNK)
            if not data:
                raise Gone("the client closed in mid body")
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\r\n")
        return line

    def read_chunked(self, timeout_seconds):
        """Pieces of a body in `Transfer-Encoding: chunked`."""
        self.sock.settimeout(timeout_seconds)
        while True:
            line = self._read_line().partition(b";")[0].strip()
            try:
                size = int(line, 16)
            except ValueError:
                raise BadRequest(f"chunk size: {line!r}") from None
            yield from self.read_body(size, timeout_seconds)
            if size == 0:
                while self._read_line():
                    pass
                return
            if self._read_line():
                raise BadRequest("a chunk longer than it says")

    def send(self, data):
        self.sock.settimeout(600)
        try:
            self.sock.sendall(data)
        except OSError as e:  # a time-out as well
            raise Gone(str(e)) from None
        self.sent += len(data)

    def send_response(self, response, head_only=False, close=False):
        self.send(response.head(close))
        if not head_only:
            left = response.size
            for piece in response.pieces():
                self.send(piece)
                left -= len(piece)
            if left:
                raise Gone("the object went while it was being read")

    def wait_gone(self, seconds=600):
        """Says nothing until the client has closed its side."""
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        poll.poll(seconds * 1000)
        raise Gone("stalled until the client went")

    def reset(self):
        """The client sees ECONNRESET when the listener closes the socket."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone("reset")

    def drain(self):
        """Lets the client read what was sent, even when it's still sending itself."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
            self.sock.settimeout(2)
            end = time.monotonic() + 10
            while time.monotonic() < end and self.sock.recv(CHUNK):
                pass
        except OSError:
            pass

    def cut(self):
        """Closes at once; what the client is sending meets a closed door."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        raise Gone("closed on purpose")


class Listener:
    """A loopback port. serve(connection) runs in a thread of its own, and before_tls(connection), which may end a
    connection ahead of its handshake. Sockets are closed here and nowhere else."""

    def __init__(self, serve, tls_context=None, port=0, before_tls=None):
        self.serve = serve
        self.context = tls_context
        self.before_tls = before_tls
        self.sock = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port = self.sock.getsockname()[1]
        self.count = 0
        self.changed = threading.Condition()
        self.open = {}  # number -> socket
        self.marks = {}  # address of a mark -> the number of connections accepted before it
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, address = self.sock.accept()
            except OSError:
                return
            with self.changed:
                if address in self.marks:
                    self.marks[address] = self.count
                    self.changed.notify_all()
                    sock.close()
                    continue
                self.count += 1
                self.open[self.count] = sock
            threading.Thread(target=self._run, args=(sock, self.count), daemon=True).start()

    def _run(self, sock, number):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.before_tls is not None:
                self.before_tls(Connection(sock, self.context is not None, number))
            if self.context is not None:
                sock.settimeout(60)
                with self.changed:
                    sock = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                    self.open[number] = sock
                sock.do_handshake()
            connection = Connection(sock, self.context is not None, number)
            self.serve(connection)
            connection.drain()
        except (Gone, OSError):  # ssl.SSLError is an OSError
            pass
        finally:
            with self.changed:
                del self.open[number]
                sock.close()
                self.changed.notify_all()

    def _accepted_so_far(self, seconds):
        """How many connections came before this call. One that the client has left already may still wait to be
        accepted, with a whole request in it: a connection of our own takes its place behind it."""
        with socket.socket() as mark:
            mark.bind(("127.0.0.1", 0))
            address = mark.getsockname()
            with self.changed:
                self.marks[address] = None
            mark.connect(("127.0.0.1", self.port))
            with self.changed:
                self.changed.wait_for(lambda: self.marks[address] is not None, seconds)
                return self.marks.pop(address)

    def end_earlier(self, meanwhile, seconds=30):
        """Ends the connections that came before this call; nothing is done for them afterwards. meanwhile(), called
        again and again, lets go on what waits for something else than its client."""
        last = self._accepted_so_far(seconds)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            meanwhile()
            with self.changed:
                for number in self.open.keys() & range(last + 1):
                    try:
                        socket.socket.shutdown(self.open[number], socket.SHUT_RDWR)  # of TLS: without a word
                    except OSError:
                        pass
                if self.changed.wait_for(lambda: not self.open.keys() & range(last + 1), 0.1):
                    return
        raise TimeoutError(f"connections to port {self.port} don't end")


def tls_context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
