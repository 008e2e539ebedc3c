"""The HTTP server of backup-api with routes of the tests' own: what well-meaning clients are owed."""

import gzip
import json

import pytest

from harness.http_routes import HttpRoutes, Pipelined, is_closed, request, send
from harness.raw_http import read_answer


@pytest.fixture
def server(programs, tmp):
    server = HttpRoutes(programs, tmp)
    yield server
    server.process.dispose()
    server.process.check()


def problem(answer, status):
    """The problem document of an answer with that status."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = json.loads(answer.body)
    assert (document["type"], document["status"]) == ("about:blank", status)
    assert document["title"] and document["detail"]
    return document


# -- methods and routes


def test_methods(server):
    for method in ("GET", "HEAD"):
        answer = server.ask(method, "/status")
        assert answer.status == 200 and int(answer.headers["Content-Length"]) > 0
        assert bool(answer.body) == (method == "GET")
    for method in ("POST", "PUT", "PATCH", "DELETE", "FROBNICATE", "get", "TRACE"):
        answer = server.ask(method, "/status")
        assert "GET, HEAD, OPTIONS" in problem(answer, 405)["detail"]
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    answer = server.ask("OPTIONS", "/length")
    assert (answer.status, answer.headers["Allow"], answer.body) == (204, "POST, PUT, OPTIONS", b"")
    assert "Content-Length" not in answer.headers
    assert server.ask("OPTIONS", "*").headers["Allow"].startswith("GET, HEAD, POST")
    problem(server.ask("POST", "/nowhere", body={}), 404)
    problem(server.ask("OPTIONS", "/nowhere"), 404)


def test_headers_of_every_answer(server):
    for method, target in (("GET", "/status"), ("GET", "/nowhere"), ("POST", "/status"), ("GET", "/events?x=1")):
        headers = server.ask(method, target).headers
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"] and headers["Cache-Control"] == "no-store"


def test_paths(server):
    assert server.get("/files/a/b%20c/%C3%A8")["file"] == "a/b c/è"
    assert server.get("/files/a%2Bb+c")["file"] == "a+b+c"
    assert server.ask("GET", "http://elsewhere/status").status == 200  # absolute-form
    refused = [
        "/files/../x", "/files/a/..", "/files/%2e%2e/x", "/files/.%2e", "/./status", "//status", "/files//x", "/files/a%2fb",
        "/files/%00", "/files/a%00b", "/files/%", "/files/%4", "/files/%zz", "/files/%ff%fe", "/files/%c0%ae%c0%ae/x", "/files/%0a",
        "/files/%7f", "status", "*", "/files/" + "x" * 256, "/files" + "/x" * 40, "/who/0", "/who/-1", "/who/x", "/who/1e2", "/who/%20",
    ]  # fmt: skip
    for path in refused:
        problem(server.ask("GET", path, {"Authorization": "Bearer viewer"}), 400)
    for path in ("/", "/files", "/files/", "/files/a/", "/status/", "/who/2147483648", "/who/" + "9" * 40, "/who"):
        problem(server.ask("GET", path, {"Authorization": "Bearer viewer"}), 404)


def test_who_may(server):
    def ask(method, role, body=None):
        return server.ask(method, "/who/5", {"Authorization": f"Bearer {role}"} if role else None, body)

    for method in ("GET", "POST", "DELETE"):
        answer = ask(method, None, {} if method == "POST" else None)
        assert problem(answer, 401) and answer.headers["WWW-Authenticate"] == "Bearer"
    problem(ask("GET", "nobody"), 401)
    assert json.loads(ask("GET", "viewer").body) == {"user": "tester", "id": 5, "size": 0}
    assert "operator" in problem(ask("POST", "viewer", {}), 403)["detail"]
    assert json.loads(ask("POST", "operator", {"a": 1}).body)["size"] == 8
    problem(ask("DELETE", "operator"), 403)
    assert ask("DELETE", "admin").status == 200


def test_many_requests_on_one_connection(server):
    """Asleep before the body, refused with a body, asleep again: what follows is still read in the right place."""
    with server.connect() as s:
        s.sendall(
            request("POST", "/who/1", {"Authorization": "Bearer operator"}, {"x": "y" * 3000})
            + request("POST", "/who/2", {"Authorization": "Bearer viewer"}, b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            + request("POST", "/nowhere", None, b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n" * 3000)
            + request("GET", "/who/3", {"Authorization": "Bearer viewer"})
            + request("PUT", "/length", None, b"")
            + request("PUT", "/length")
            + request("HEAD", "/large?size=3000")
            + request("GET", "/status")
        )
        reader = Pipelined(s)
        answers = [read_answer(reader, m) for m in ("POST", "POST", "POST", "GET", "PUT", "PUT", "HEAD", "GET")]
    assert [a.status for a in answers] == [200, 403, 404, 200, 200, 200, 200, 200]
    assert json.loads(answers[3].body)["id"] == 3 and json.loads(answers[7].body)["served"] == 1


def test_cookies_and_headers(server):
    answer = server.ask("POST", "/cookies", {"Cookie": "other=1; session=abc; x=y"})
    assert json.loads(answer.body) == {"session": "abc", "remote": "127.0.0.1"}
    assert answer.headers.get_all("Set-Cookie") == ["a=1; HttpOnly", "b=2"]
    assert answer.headers.get_all("Location") == ["/two"]
    answer = server.ask("GET", "/bad-header")
    assert problem(answer, 500) and "Set-Cookie" not in answer.headers and "Location" not in answer.headers


# -- bodies


def test_bodies(server):
    for size in (2, 100, 4096, 65537, 1 << 20):
        body = b"\xff" * size  # the route's business, not the server's
        assert json.loads(server.ask("POST", "/length", None, body).body) == {"size": size, "sum": 255 * size}
    problem(server.ask("POST", "/length"), 411)
    for type in (None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/jsonx", ""):
        assert "application/json" in problem(server.ask("POST", "/length", None, b"{}", type), 415)["detail"]
    for type in ("application/json", "Application/JSON ; charset=UTF-8", 'application/json;charset="utf-8"'):
        assert server.ask("POST", "/length", None, b"{}", type).status == 200
    problem(server.ask("POST", "/length", {"Content-Encoding": "gzip"}, gzip.compress(b"{}")), 415)
    problem(server.ask("POST", "/cookies", None, b"{}"), 400)
    assert server.ask("PUT", "/length").status == server.ask("PUT", "/length", None, b"", None).status == 200


def test_expect_continue(server):
    """The body is asked for only when it will be taken."""
    with server.connect() as s:
        s.sendall(request("POST", "/length", {"Expect": "100-continue"}, b"{}" * 20)[:-40])
        assert s.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"{}" * 20)
        assert json.loads(read_answer(s).body)["size"] == 40
        s.sendall(request("POST", "/who/1", {"Expect": "100-continue", "Authorization": "Bearer operator"}, b"{}" * 20)[:-40])
        assert s.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"  # after a sleep
        s.sendall(b"{}" * 20)
        assert json.loads(read_answer(s).body)["size"] == 40
    for target, status in (("/who/1", 401), ("/nowhere", 404)):
        with server.connect() as s:
            s.sendall(request("POST", target, {"Expect": "100-continue"}, b"{}" * 20)[:-40])
            answer = read_answer(s)
            assert answer.headers["Connection"] == "close"
            problem(answer, status)
            assert s.recv(1) == b""


def test_fields(server):
    def errors(body, status=422):
        return {e["field"]: e["message"] for e in problem(server.ask("POST", "/fields", None, body), status).get("errors", [])}

    good = {"name": "è", "count": -5, "ordering": "parallel", "at": "2025-11-02T08:00:00+01:00", "tags": ["a"], "config": {"x": [1]},
            "note": None}  # fmt: skip
    answer = server.ask("POST", "/fields", None, good)
    assert (answer.status, json.loads(answer.body)) == (201, {"name": "è", "given": 7, "note_is_null": True})
    assert json.loads(server.ask("POST", "/fields", None, {"name": "n", "note": "two\nlines"}).body)["note_is_null"] is False

    wrong = errors({"nam": "x", "count": 101, "ordering": "both", "at": "2025-11-02", "tags": ["ok", ""], "config": [], "note": 5})
    assert set(wrong) == {"nam", "name", "count", "ordering", "at", "tags", "config", "note"}
    assert "name, count, ordering" in wrong["nam"] and "missing" in wrong["name"]
    assert "-5 to 100, not 101" in wrong["count"] and "one of parallel, sequential, not 'both'" in wrong["ordering"]
    assert set(errors({})) == set(errors(b"")) == {"name"}
    for name in ("", "x" * 21, "a\nb", "\x7f", 5, None, ["x"], True):
        assert set(errors({"name": name})) == {"name"}
    for count in (1.0, "5", None, True, -6, 2**62):
        assert set(errors({"name": "n", "count": count})) == {"count"}
    for body in (b"nonsense", b"[]", b"5", b"null", b'{"name": "x"', b'{"name": "x"} {}', b'{"name": "x", "name": "y"}', b'{"name": "\xff"}',
                 b'{"name": "\\u0000"}', b'{"name": "\\ud800"}', b"\xef\xbb\xbf{}", b'{"name": 1e999}', b'{"count": 99999999999999999999}',
                 b"[" * 100000, b'{"a":' * 33 + b"1" + b"}" * 33, b"{}\0", b"\0"):  # fmt: skip
        assert errors(body, 400) == {}
    deep = {"name": "n", "config": {}}
    for _ in range(29):
        deep["config"] = {"x": deep["config"]}
    assert server.ask("POST", "/fields", None, deep).status == 201
    assert "secret" not in server.ask("POST", "/fields", None, b'{"name": "secret" "secret"}').body.decode()


def test_query(server):
    def errors(query):
        return {e["field"]: e["message"] for e in problem(server.ask("GET", f"/download?{query}"), 400)["errors"]}

    assert server.ask("GET", "/download?size=3&&chunked=true&").body == b"abc"
    assert server.ask("GET", "/download?s%69ze=%33").body == b"abc"
    for bad in ("", "x", "1.0", "+1", "%201", "0x3", "99999999999999999999", "-1", "2147483648"):
        assert "whole number" in errors(f"size={bad}")["size"]
    assert "missing" in errors("")["size"] and "known: size, chunked, fails" in errors("size=1&limit=2")["limit"]
    assert "true or false" in errors("size=1&chunked=yes")["chunked"] and "twice" in errors("size=1&size=1")["size"]
    assert set(errors("size=%ff")) == set(errors("size=%00")) == set(errors("size=%")) == set(errors("size=%4")) == {"size"}
    assert set(errors("%00=1")) == {"?"} and errors("&".join(f"x{i}" for i in range(65)))
    assert errors("&".join(f"p{i}=1" for i in range(500))) and errors("&".join(["a"] * 2000))


# -- answers


def test_etag(server):
    first = server.ask("GET", "/large?size=100")
    etag = first.headers["ETag"]
    assert etag.startswith('"') and "no-cache" in first.headers["Cache-Control"]
    for known in (etag, "*", f'"x", {etag}', f"W/{etag}", f'W/"a,b" ,{etag}'):
        for method in ("GET", "HEAD"):
            answer = server.ask(method, "/large?size=100", {"If-None-Match": known})
            assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", etag)
            assert "Content-Type" not in answer.headers
            assert answer.headers["Content-Length"] == first.headers["Content-Length"]  # or none, says RFC 9110
    for known in ('"x"', etag[1:-1], etag[:-1], ""):
        assert server.ask("GET", "/large?size=100", {"If-None-Match": known}).status == 200
    assert server.ask("GET", "/large?size=101").headers["ETag"] != etag
    assert "ETag" not in server.ask("GET", "/status").headers and "ETag" not in server.ask("GET", "/large?size=0").headers


@pytest.mark.parametrize("size", [3000, 300_000, 20_000_000])
def test_gzip(server, size):
    plain = server.ask("GET", f"/large?size={size}")
    assert "Content-Encoding" not in plain.headers and "Accept-Encoding" in plain.headers.get_all("Vary")
    for accepted in ("gzip", "deflate, gzip;q=0.5", "*", "GZIP", "br;q=1.0, *;q=0.1, identity;q=0"):
        packed = server.ask("GET", f"/large?size={size}", {"Accept-Encoding": accepted})
        assert packed.headers["Content-Encoding"] == "gzip" and "Accept-Encoding" in packed.headers.get_all("Vary")
        assert len(packed.body) < len(plain.body) and gzip.decompress(packed.body) == plain.body
    assert packed.headers["ETag"] != plain.headers["ETag"]
    head = server.ask("HEAD", f"/large?size={size}", {"Accept-Encoding": "gzip"})
    assert int(head.headers["Content-Length"]) == len(packed.body) and head.headers["ETag"] == packed.headers["ETag"]
    with server.connect() as s:
        for known in (plain.headers["ETag"], packed.headers["ETag"]):
            answer = send(s, "GET", f"/large?size={size}", {"Accept-Encoding": "gzip", "If-None-Match": known})
            assert (answer.status, answer.headers["ETag"], answer.body) == (304, packed.headers["ETag"], b"")
            assert int(answer.headers["Content-Length"]) == len(packed.body) and "Content-Encoding" not in answer.headers
        assert send(s, "GET", "/status").status == 200
    for refused in ("", "identity", "gzip;q=0", "gzip;q=0.0, *", "*;q=0", "deflate", "identity;q=1, gzip;q=0.5", "gzipx", "gzip;q=x"):
        assert "Content-Encoding" not in server.ask("GET", f"/large?size={size}", {"Accept-Encoding": refused}).headers


def test_small_answers_are_not_compressed(server):
    assert "Content-Encoding" not in server.ask("GET", "/status", {"Accept-Encoding": "gzip"}).headers
    assert "Content-Encoding" not in server.ask("GET", "/download?size=5000", {"Accept-Encoding": "gzip"}).headers


def test_cors(server):
    def headers(origin, method="GET", target="/status", **more):
        answer = server.ask(method, target, {**({"Origin": origin} if origin else {}), **more})
        assert answer.headers.get("Access-Control-Allow-Origin") != "*" and "Origin" in answer.headers.get_all("Vary")
        return answer.headers

    for origin in ("https://page.example", "http://localhost:3000"):
        for target in ("/status", "/nowhere", "/who/1"):
            given = headers(origin, target=target)
            assert given["Access-Control-Allow-Origin"] == origin and given["Access-Control-Allow-Credentials"] == "true"
    for origin in (None, "null", "*", "https://page.example.evil", "http://page.example", "https://page.example:444", "https://PAGE.example"):
        assert not [name for name in headers(origin).keys() if name.startswith("Access-Control")]

    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    given = headers("https://page.example", "OPTIONS", "/who/1", **preflight)
    assert given["Access-Control-Allow-Methods"] == "GET, HEAD, POST, PATCH, DELETE, OPTIONS"
    assert all(h in given["Access-Control-Allow-Headers"] for h in ("Content-Type", "X-CSRF-Token", "Authorization", "Last-Event-ID"))
    assert "Access-Control-Allow-Methods" not in headers("https://other.example", "OPTIONS", "/who/1", **preflight)


# -- streams


def test_download(server):
    letters = bytes(ord("a") + i % 26 for i in range(200_000))
    for chunked in ("true", "false"):
        answer = server.ask("GET", f"/download?size=200000&chunked={chunked}")
        assert answer.body == letters and ("Content-Length" in answer.headers) == (chunked == "false")
        server.process.wait_log("stream download whole at 200000")
    ranges = {
        "bytes=0-0": (206, 0, 1), "bytes=10-": (206, 10, 199990), "bytes=-5": (206, 199995, 5), "bytes=5-999999": (206, 5, 199995),
        "bytes=199999-": (206, 199999, 1), "bytes=-999999": (206, 0, 200000), "bytes=0-99999999999999999999": (206, 0, 200000),
        "bytes=200000-": (416, 0, 0), "bytes=-0": (416, 0, 0), "bytes=99999999999999999999-": (416, 0, 0),
        "bytes=5-4": (200, 0, 200000), "bytes=0-1,5-6": (200, 0, 200000), "lines=1-2": (200, 0, 200000), "bytes=": (200, 0, 200000),
        "bytes=-": (200, 0, 200000), "bytes=x-y": (200, 0, 200000),
    }  # fmt: skip
    for range_, (status, first, length) in ranges.items():
        answer = server.ask("GET", "/download?size=200000", {"Range": range_})
        assert answer.status == status, range_
        if status == 416:
            assert answer.headers["Content-Range"] == "bytes */200000"
            continue
        assert answer.body == letters[first : first + length], range_
        if status == 206:
            assert answer.headers["Content-Range"] == f"bytes {first}-{first + length - 1}/200000"
    assert server.ask("GET", "/download?size=200000", {"Range": "bytes=1-2", "If-Range": '"e"'}).status == 206
    assert server.ask("GET", "/download?size=200000", {"Range": "bytes=1-2", "If-Range": '"old"'}).status == 200
    assert server.ask("GET", "/download?size=0").body == b""
    assert server.ask("HEAD", "/download?size=77").headers["Content-Length"] == "77"
    assert server.status()["streams"] == 0


def test_download_that_fails(server):
    """The client can tell that what it has is not whole."""
    for chunked in ("true", "false"):
        answer = server.raw(request("GET", f"/download?size=1000000&fails=true&chunked={chunked}"))
        assert answer.startswith(b"HTTP/1.1 200") and b"abc" in answer
        assert not answer.endswith(b"0\r\n\r\n") and len(answer) < 1_000_000
    server.process.wait_log(r"stream download cut at 5\d+")


def test_events(server, wait_for):
    with server.connect() as s, s.makefile("rb") as lines:
        s.sendall(request("GET", "/events?every_ms=1"))
        assert lines.readline().startswith(b"HTTP/1.1 200")
        seen = []
        while len(seen) < 50:
            line = lines.readline()
            if line.startswith(b"data: "):
                seen.append(int(line[6:]))
        assert seen == list(range(50)) and server.status()["streams"] == 1
    wait_for(lambda: server.status()["streams"] == 0)  # noticed by writing
    server.process.wait_log("stream events cut")


def test_limit_of_streams(programs, tmp, wait_for):
    server = HttpRoutes(programs, tmp, streams_max=2)
    sockets = []
    for _ in range(2):
        sockets.append(server.connect())
        sockets[-1].sendall(request("GET", "/events?every_ms=1"))
        assert sockets[-1].recv(10)
    answer = server.ask("GET", "/events")
    assert problem(answer, 503) and int(answer.headers["Retry-After"]) > 0
    sockets.pop().close()
    wait_for(lambda: server.status()["streams"] == 1)
    sockets.append(server.connect())
    sockets[-1].sendall(request("GET", "/events?every_ms=1"))
    assert sockets[-1].recv(10).startswith(b"HTTP/1.1 2")
    server.process.dispose()
    server.process.check()


def test_limit_of_answers(programs, tmp, wait_for):
    """Clients that ask and do not take the answers: a bound for all of them together; small answers go on."""
    server = HttpRoutes(programs, tmp, answers_max=16_000_000)
    sockets = []
    for _ in range(2):
        sockets.append(server.connect())
        sockets[-1].sendall(request("GET", "/large?size=7000000"))
        assert sockets[-1].recv(10).startswith(b"HTTP/1.1 2")
    answer = server.ask("GET", "/large?size=7000000")
    assert problem(answer, 503) and int(answer.headers["Retry-After"]) > 0
    assert server.ask("GET", "/large?size=50000").status == 200 and server.ask("GET", "/large?size=1500000").status == 200
    sockets.pop().close()
    wait_for(lambda: server.ask("GET", "/large?size=7000000").status == 200)
    server.process.dispose()
    server.process.check()


def test_end_with_open_streams(programs, tmp):
    """SIGTERM: events end as they should, who waits for nothing is closed, a download goes on to its end."""
    server = HttpRoutes(programs, tmp, drain_ms=60_000)
    with server.connect() as events, server.connect() as silent, server.connect() as download, server.connect() as idle:
        assert send(idle, "GET", "/status").status == 200
        events.sendall(request("GET", "/events?every_ms=1"))
        silent.sendall(request("GET", "/events"))
        download.sendall(request("GET", "/download?size=50000000"))
        assert events.recv(1) and silent.recv(1) and download.recv(1)
        server.process.ask_to_end()
        assert is_closed(idle)
        for sock in (events, silent):
            last = b""
            while block := sock.recv(65536):
                last = (last + block)[-20:]
            assert last.endswith(b"0\r\n\r\n")
        size = 0
        while block := download.recv(1 << 20):
            size += len(block)
        assert size > 50_000_000
    server.process.wait()
    server.process.check()


def test_keep_alive_after_errors(server):
    with server.connect() as s:
        for _ in range(3):
            assert send(s, "GET", "/nowhere").status == 404
            assert send(s, "POST", "/fields", None, {"x": 1}).status == 422
            assert send(s, "GET", "/large?size=200000", {"Accept-Encoding": "gzip"}).status == 200
            assert send(s, "GET", "/download?size=70000").status == 200
