"""The HTTP server of backup-api and clients that mean no good, or are slow: no crash, no leak, no other client waits."""

import json
import socket

import pytest

from harness.http_routes import CLOSE, HttpRoutes, Pipelined, is_closed, request, send
from harness.raw_http import read_answer

SMALL_BUFFERS = 4096


@pytest.fixture
def start(programs, tmp):
    """start(**limits): a server, checked when the test ends"""
    started = []

    def start(**limits):
        started.append(HttpRoutes(programs, tmp, **limits))
        return started[-1]

    yield start
    for server in started:
        server.process.dispose()
        server.process.check()


@pytest.fixture
def server(start):
    return start()


def statuses(answer):
    """The status of every answer in what came back."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def others_are_served(server, times=20):
    for _ in range(times):
        assert send(server.connect(), "POST", "/fields", None, {"name": "n"}).status == 201
        assert server.ask("GET", "/large?size=100000", {"Accept-Encoding": "gzip"}).status == 200


INNER = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"


# -- where a request ends


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "FROBNICATE"])
@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: {n}\r\nContent-Length: {n}\r\n",
        "Content-Length: 0\r\nContent-Length: {n}\r\n",
        "Content-Length: {n}\r\nContent-Length: 0\r\n",
        "Content-Length: {n}, {n}\r\n",
        "Content-Length: +{n}\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x10\r\n",
        "Content-Length: \r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 99999999999999999999999999\r\n",
        "Content-Length : {n}\r\n",
        "Content-Length\t: {n}\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: {n}\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "X: y\rContent-Length: {n}\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "X: y\nContent-Length: {n}\r\n",
        "Content-Length: {n}\n",
        "Content-Length:\r\n {n}\r\n",
        "Content-Length: 1\r\n\t0\r\n",
        "Content-Length: 0\r\n {n}\r\nX: y\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "X:\r\n y\r\n z\r\nTransfer-Encoding:\r\n\tchunked\r\nX: y\r\n",
        "X: y\r\n \r\n",
        "Content-Length: 0\0{n}\r\n",
        "Content-Length: 0\0\0\0\0\0\r\n",
        "X: y\r\n\0Content-Length: {n}\r\n",
        "X: y\r\n\0\0\0\r\n",
        "Host: y\r\nContent-Length: {n}\r\n",
    ],
)
def test_smuggling(server, method, framing):
    """A request within a body, or behind one whose length is in doubt, is never served."""
    answer = server.raw(
        f"{method} /length HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
        + framing.format(n=len(INNER)).encode()
        + b"\r\n"
        + INNER
        + INNER
    )
    assert server.status()["served"] == 1, answer
    assert all(status >= 400 for status in statuses(answer)), answer  # libmicrohttpd may refuse twice


def test_bodies_are_never_requests(server):
    """What is refused before its body came: the body passes, and the connection goes on behind it."""
    for target in ("/status", "/nowhere", "/cookies", "/who/1"):
        with server.connect() as s:
            s.sendall(request("POST", target, None, INNER * 100) + request("PUT", "/length", None, b"[]"))
            reader = Pipelined(s)
            assert read_answer(reader, "POST").status >= 400
            assert json.loads(read_answer(reader, "PUT").body)["size"] == 2
    for method in ("GET", "DELETE", "OPTIONS"):
        with server.connect() as s:
            s.sendall(request(method, "/status", None, INNER))
            answer = read_answer(s, method)
            assert (answer.status, answer.headers["Connection"]) == (400, "close") and is_closed(s)
    assert server.status()["served"] == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) + b"\r\n\r\n",
        b"\0" * 5000,
        b"\r\n" * 30000,
        b"GET\r\n\r\n",
        b"GET /status\r\n\r\n",
        b"GET /status HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /status HTTP/1.1\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /status\0/../x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /status?a=\0b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /status\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /sta tus HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: x\r\nX\x01: y\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: x\r\nX: \x01\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Y: z\r\n" * 101 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Y: z\r\n" * 20000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a=b; " * 1500 + b"\r\n\r\n",
        b"GET /?" + b"a&" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"x" * 100_000,
    ],
    ids=range(21),
)
def test_garbage(start, data):
    server = start(arrive_ms=5000)
    answer = server.raw(data + CLOSE.encode() + b"\r\n\r\n")
    assert all(status >= 400 for status in statuses(answer)), answer
    assert server.status()["served"] == 1


@pytest.mark.parametrize(
    "status, data",
    [
        (414, b"GET /" + b"x" * 4096 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        (414, b"GET /" + b"x" * 50000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 8192 + b"\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 50000 + b"\r\n\r\n"),
        (413, b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n"),
        (413, b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\nExpect: 100-continue\r\n\r\n"),
        (411, b"POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (411, b"PUT /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
        (400, b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
        (400, b"GET /status\0 HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET /status HTTP/1.1\r\nX: y\r\n\r\n"),
        (400, b"GET /status HTTP/1.1\r\n\r\n"),
        (400, b"GET /sta tus HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET /status  HTTP/1.1\r\nHost: x\r\n\r\n"),
    ],
    ids=["path", "very long path", "headers", "very large headers", "body", "body expected", "chunked", "chunks", "lengths", "NUL", "no Host",
         "nothing", "blank", "blanks"],
)
def test_refusals_close(server, status, data):
    with server.connect() as s:
        s.sendall(data)
        answer = read_answer(s)
        assert answer.status == status and is_closed(s)
        if "very" not in str(data[:60]) and len(data) < 20000:  # libmicrohttpd's own are not JSON
            assert json.loads(answer.body)["status"] == status


@pytest.mark.parametrize(
    "framing", [f"Content-Length: {10 << 20}\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n",
                "X: " + "x" * 100_000 + "\r\n"], ids=["too large", "chunked", "lengths", "headers"],
)  # fmt: skip
def test_a_refusal_is_seen_by_who_sends_all_first(start, wait_for, framing):
    """Most libraries send the whole body before they look for an answer: it must not be lost in a reset."""
    server = start(linger_ms=600_000)
    head = f"POST /length HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n".encode()
    for _ in range(5):
        with server.connect() as s:
            s.sendall(head)
            for _ in range(160):
                s.sendall(b"x" * 65536)
            assert read_answer(s).status in (400, 411, 413, 431) and is_closed(s)
    wait_for(lambda: server.connections() == 0)


def test_who_goes_on_sending_after_a_refusal_is_reset(start, wait_for):
    server = start(linger_ms=300)
    with server.connect() as s:
        s.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n")
        assert read_answer(s).status == 413

        def reset():
            try:
                s.sendall(b"x" * 65536)
            except ConnectionError:
                return True

        wait_for(reset)
    wait_for(lambda: server.connections() == 0)


# -- slow clients. What is late is seen by the server, not by the test; where something has to come in time as well, the limit is
# one that a client on a busy machine keeps.


def test_requests_that_do_not_arrive(start, wait_for):
    server = start(arrive_ms=5000, idle_ms=600_000)
    head = request("POST", "/length", None, b"x" * 100)[:-100]
    starts = [b"", b"GET /sta", b"GET /status HTTP/1.1\r\nHost", head, head + b"x" * 99,
              request("POST", "/nowhere", None, b"x" * 100)[:-1]]  # fmt: skip
    sockets = [server.connect() for _ in starts]
    for s, data in zip(sockets, starts):
        s.sendall(data)
    second = server.connect()  # a second request on a connection has its own time
    assert send(second, "GET", "/status").status == 200
    second.sendall(b"GET /status HTTP/1.1\r\nHo")
    for s in [*sockets, second]:
        assert is_closed(s)
    assert server.process.log().count("did not arrive whole") == len(sockets) + 1


def test_a_byte_now_and_then_does_not_help(start, wait_for):
    """libmicrohttpd's own time-out begins anew with every byte; ours does not."""
    server = start(arrive_ms=1000, stall_s=60)
    for data in (b"GET /status HTTP/1.1\r\nX: ", request("POST", "/length", None, b"x" * 100_000)[:-100_000]):
        with server.connect() as s:
            s.sendall(data)

            def refused():
                try:
                    s.sendall(b"x")
                except ConnectionError:
                    return True

            wait_for(refused)
    assert server.process.log().count("did not arrive whole") == 2


def test_idle_connections_end(start):
    server = start(idle_ms=3000, arrive_ms=600_000)
    with server.connect() as s:
        assert send(s, "GET", "/status").status == 200
        assert send(s, "POST", "/length", None, {}).status == 200
        assert is_closed(s)
    server.process.wait_log("no request came in time")


def reader_of_little(server, target):
    """A client that asks for much and takes next to nothing."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFERS)
    s.settimeout(60)
    s.connect(server.address)
    s.sendall(request("GET", target))
    assert s.recv(1) == b"H"
    return s


@pytest.mark.parametrize("target", ["/large?size=60000000", "/download?size=60000000", "/events?every_ms=1&pad=4000"])
def test_answers_that_are_not_taken(start, wait_for, target):
    server = start(stall_s=3)
    with reader_of_little(server, target):
        others_are_served(server, 3)
        wait_for(lambda: server.connections() == 0)
    if "large" not in target:
        server.process.wait_log("stream .* cut")


def test_answers_have_an_end(start, wait_for):
    """Some bytes are taken now and then: an answer is closed all the same, a stream is not."""
    server = start(answer_ms=4000, stall_s=60)
    with reader_of_little(server, "/large?size=60000000") as s, reader_of_little(server, "/download?size=60000000") as stream:

        def closed():
            return s.recv(1) and stream.recv(1) and server.connections() == 1

        wait_for(closed)
        assert server.status()["streams"] == 1
    server.process.wait_log("an answer was not taken in time")


def test_readers_of_a_byte_slow_nobody(server):
    targets = ("/large?size=30000000", "/download?size=30000000", "/events?every_ms=1")
    sockets = [reader_of_little(server, targets[i % 3]) for i in range(24)]
    others_are_served(server)
    for s in sockets:
        assert s.recv(1) == b"T"
        s.close()


def test_many_idle_connections(server):
    """2,000 of them: a few KiB each, no CPU, others are served."""
    others_are_served(server, 1)
    before = server.resident()
    sockets = []
    for i in range(2000):
        s = server.connect()
        sockets.append(s)
        if i % 4 == 1:
            s.sendall(b"GET /status HTTP/1.1\r\nHo")
        if i % 4 == 2:
            s.sendall(request("GET", "/status"))
        if i % 4 == 3:
            s.sendall(request("POST", "/length", None, b"x" * 1000)[:-1])
    for s in sockets[2::4]:
        assert s.recv(12) == b"HTTP/1.1 200"
    others_are_served(server)
    assert (server.resident() - before) / 2000 < 40_000  # with AddressSanitizer's share
    ticks = server.cpu_ticks()
    others_are_served(server, 1)
    assert server.cpu_ticks() - ticks < 100
    for s in sockets:
        s.close()
    others_are_served(server, 1)


@pytest.mark.parametrize("descriptors, clients", [(300, 400), (30, 100)], ids=["connections", "descriptors"])
def test_room_again_behind_a_limit(start, wait_for, descriptors, clients):
    """More clients than there is room for, and all leave at once: whoever comes then is served."""
    server = start(descriptors=descriptors)
    sockets = [server.connect() for _ in range(clients)]
    sockets[0].sendall(request("GET", "/status"))
    assert read_answer(sockets[0]).status == 200
    full = server.connections()
    assert 1 < full < clients
    for s in sockets:
        s.close()
    others_are_served(server, 1)
    wait_for(lambda: server.connections() == 0)


def test_bodies_have_a_bound_together(start, wait_for):
    """Bodies that are under way fill the room: one more is refused, and taken when there is room again."""
    server = start(bodies_max=300_000)
    body = b"x" * 200_000
    with server.connect() as slow:
        slow.sendall(request("POST", "/length", None, body)[:-1])
        wait_for(lambda: server.unread() == 0)
        answer = server.ask("POST", "/length", None, body)
        assert answer.status == 503 and answer.headers["Retry-After"] and json.loads(answer.body)["status"] == 503
        assert server.ask("POST", "/length", None, body[:1000]).status == 200
        assert server.ask("POST", "/who/1", None, body).status == 401  # a stranger's body takes no room
        slow.sendall(b"x")
        assert json.loads(read_answer(slow).body)["size"] == len(body)
        wait_for(lambda: server.ask("POST", "/length", None, body).status == 200)
    with server.connect() as gone:
        gone.sendall(request("POST", "/length", None, body)[:-1])
        wait_for(lambda: server.unread() == 0)
        assert server.ask("POST", "/length", None, body).status == 503
    wait_for(lambda: server.ask("POST", "/length", None, body).status == 200)


def test_clients_that_leave(server, wait_for):
    """At every point of a request: before its body, while it is found out who asks, while an answer is compressed."""
    linger = b"\x01\0\0\0\0\0\0\0"  # close with a reset
    for i in range(60):
        s = server.connect()
        if i % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        s.sendall(
            [
                request("POST", "/who/1", {"Authorization": "Bearer admin"}, b"x" * 5000)[: -(i * 50)],
                request("GET", "/large?size=3000000", {"Accept-Encoding": "gzip"}),
                request("GET", "/who/1", {"Authorization": "Bearer admin"}) * 5,
                request("GET", "/download?size=30000000"),
                request("GET", "/events?every_ms=1"),
            ][i % 5]
        )
        s.close()
    others_are_served(server, 3)
    wait_for(lambda: server.status()["streams"] == 0)


@pytest.mark.parametrize(
    "data", [b"GET /sta", b"GET /status HTTP/1.1\r\n", request("POST", "/length", None, b"x" * 100)[:-1], request("GET", "/status")],
    ids=["line", "head", "body", "whole"],
)  # fmt: skip
def test_clients_whose_end_comes_with_their_last_bytes(start, wait_for, data):
    """They are let go at once, not when their time is over; who sent a whole request gets the answer first."""
    server = start(arrive_ms=600_000, idle_ms=600_000)
    for _ in range(100):
        with server.connect() as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            if b"\r\n\r\n" in data and b"POST" not in data:
                assert read_answer(s).status == 200
    wait_for(lambda: server.connections() == 0)


def test_end_while_everything_is_under_way(start):
    """SIGTERM with a short grace: what compresses, streams, arrives or is not taken ends with the server."""
    server = start(drain_ms=50)
    sockets = [server.connect() for _ in range(40)]
    for i, s in enumerate(sockets):
        s.sendall(
            [
                request("GET", "/large?size=40000000", {"Accept-Encoding": "gzip"}),
                request("GET", "/events?every_ms=1"),
                request("GET", "/events"),
                request("GET", "/download?size=300000000"),
                request("POST", "/length", None, b"x" * 5000)[:-1],
                b"GET /sta",
                b"",
                request("GET", "/status"),
            ][i % 8]
        )
    assert sockets[3].recv(1) == sockets[7].recv(1) == b"H"
    server.process.ask_to_end()
    assert all(is_closed(s) for s in sockets)
    server.process.wait()
