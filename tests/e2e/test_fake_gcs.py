"""The scripted Google Cloud Storage (tests/fakes) against Google's own client for Node, which gets its tokens from the
scripted token endpoint; what that client hides (308, ranges, faults) by plain HTTP."""

import base64
import hashlib
import json
import os
import urllib.parse

import pytest

from fakes import checksums
from harness import google_sdk
from harness.fakes import FakeCredentials, FakeGcs
from harness.google_sdk import GoogleError
from harness.raw_http import connect, read_answer, request_bytes, send
from harness.waiting import wait_for

MIB = 1 << 20
UNIT = 256 * 1024


@pytest.fixture(scope="module")
def server():
    with FakeGcs() as fake:
        yield fake


@pytest.fixture(autouse=True)
def clean(server):
    server.reset()


@pytest.fixture(scope="module")
def tokens():
    with FakeCredentials(google={"audiences": [google_sdk.AUDIENCE]}) as fake:
        yield fake


@pytest.fixture(scope="module")
def account(tokens):
    return tokens.service_account()


@pytest.fixture
def google(server, account):
    return google_sdk.client(server.http, service_account=account)


# -- by Google's client


def test_their_client_gets_its_token_and_uploads(server, tokens, account, google):
    made = google.put("a/b c+é", b"hello", metadata={"contentType": "application/gzip", "metadata": {"sha256": "1"}})
    assert (made["size"], made["crc32c"], made["contentType"]) == ("5", crc32c(b"hello"), "application/gzip")
    issued = tokens.google_issued()[-1]
    assert (issued["operation"], issued["account"]) == ("ExchangeAssertion", account["client_email"])
    assert server.last()["token"] == issued["number"] and server.last()["operation"] == "InsertMultipart"
    head = google.head("a/b c+é")
    assert (head["metadata"], head["md5Hash"]) == ({"sha256": "1"}, md5(b"hello"))
    assert google.get("a/b c+é") == b"hello"
    assert google.get("a/b c+é", start=1, end=2) == b"el"
    assert google.names() == ["a/b c+é"] and google.head("other") is None
    assert google.file("a/b c+é", head["generation"]).read({}) == b"hello"
    google.delete("a/b c+é")
    assert google.names() == []


def test_their_client_has_conditions_refused(google):
    only_if_absent = {"preconditionOpts": {"ifGenerationMatch": 0}}
    google.put("k", b"1", **only_if_absent)
    with pytest.raises(GoogleError) as e:
        google.put("k", b"2", **only_if_absent)
    assert e.value.status == 412
    with pytest.raises(GoogleError) as e:
        google.delete("k", ifGenerationMatch=7)
    assert e.value.status == 412 and google.get("k") == b"1"


def test_their_client_lists_pages(server, google):
    server.change(page=3)
    names = sorted(f"p/{n}" for n in range(8))
    for name in [*names, "other"]:
        google.put(name, b"")
    assert google.names(prefix="p/") == names


def test_their_client_uploads_resumably(server, google):
    data = os.urandom(5 * UNIT + 77)
    options = {"chunkSize": 2 * UNIT, "preconditionOpts": {"ifGenerationMatch": 0}, "metadata": {"metadata": {"a": "b"}}}
    made = google.write("k", data, **options)
    assert made["crc32c"] == crc32c(data) and server.content("k") == data and not server.uploads()
    assert [e["operation"] for e in server.log()] == ["StartResumable", "QueryResumable", *["UploadChunk"] * 3]
    assert google.sha256("k") == (hashlib.sha256(data).hexdigest(), len(data))
    google.write("streamed", data)  # of a size that isn't known, in one request
    assert server.content("streamed") == data
    assert server.last("UploadChunk")["content_range"] == "bytes 0-*/*"


@pytest.mark.parametrize("action", [
    {"type": "close_request", "bytes": UNIT + 100, "reset": True}, {"type": "drop_answer"},
    {"type": "respond", "status": 503, "code": "backendError"}, {"type": "keep", "bytes": UNIT, "status": 503},
    {"type": "keep", "bytes": UNIT},
])  # fmt: skip
def test_their_client_goes_on_where_it_broke_off(server, account, action):
    data = os.urandom(7 * UNIT + 77)
    server.rule(action, {"operation": "UploadChunk", "nth": 2})
    google = google_sdk.client(server.http, service_account=account, retry=True)
    google.write("k", data, chunkSize=2 * UNIT, preconditionOpts={"ifGenerationMatch": 0})
    assert server.content("k") == data and not server.uploads()
    assert len(server.log("StartResumable")) == 1
    asked_again = len(server.log("QueryResumable")) - 1  # the client begins by one
    assert asked_again == (0 if action == {"type": "keep", "bytes": UNIT} else 1)


def test_their_client_goes_on_with_anothers_upload(server, google):
    data = os.urandom(3 * UNIT + 77)
    uri = google.file("k").begin(data[:UNIT], {"metadata": {"contentType": "application/gzip"}})
    assert server.uploads()[0]["kept"] == UNIT and not server.objects()
    google.write("k", data, uri=uri, validation=False)
    assert server.content("k") == data
    assert server.last("UploadChunk")["content_range"] == f"bytes {UNIT}-*/*"


def test_their_client_without_rights(server, account):
    with pytest.raises(GoogleError) as e:
        google_sdk.client(server.http, token="stranger").put("k", b"1")
    assert e.value.status == 401
    server.change(anonymous=True)
    google_sdk.client(server.http).put("k", b"1")
    assert server.content("k") == b"1" and "authorization" not in server.last()["headers"]


# -- by plain HTTP


def crc32c(data):
    crc = checksums.ALGORITHMS["crc32c"]()
    crc.update(data)
    return base64.b64encode(crc.digest()).decode()


def md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def headers_of(server, more=(), token=FakeGcs.token):
    headers = {"Host": f"127.0.0.1:{server.ports['http']}", **dict(more)}
    return {**headers, **({"Authorization": f"Bearer {token}"} if token else {})}


def ask(server, method, path, body=b"", token=FakeGcs.token, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    url = path if path.startswith("http") else server.http + path
    return send(method, url, headers_of(server, headers, token), body)


def error(answer):
    """(status, reason)"""
    return answer.status, json.loads(answer.body)["error"]["errors"][0]["reason"]


def insert(server, name, body, bucket="bucket", token=FakeGcs.token, **parameters):
    query = urllib.parse.urlencode({"uploadType": "media", "name": name, **parameters})
    return ask(server, "POST", f"/upload/storage/v1/b/{bucket}/o?{query}", body, token)


def multipart(server, resource, body, bucket="bucket", **parameters):
    query = urllib.parse.urlencode({"uploadType": "multipart", **parameters})
    parts = [
        b"--b0undary\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n",
        json.dumps(resource).encode(),
        b"\r\n--b0undary\r\nContent-Type: text/plain\r\n\r\n",
        body,
        b"\r\n--b0undary--\r\n",
    ]
    kind = "multipart/related; boundary=b0undary"
    return ask(server, "POST", f"/upload/storage/v1/b/{bucket}/o?{query}", b"".join(parts), Content_Type=kind)


def session(server, name, resource=None, bucket="bucket", headers=(), **parameters):
    query = urllib.parse.urlencode({"uploadType": "resumable", "name": name, **parameters})
    body = json.dumps(resource).encode() if resource is not None else b""
    more = {"Content_Type": "application/json; charset=UTF-8"} if body else {}
    return ask(server, "POST", f"/upload/storage/v1/b/{bucket}/o?{query}", body, **more, **dict(headers))


def chunk(server, uri, data, first, total="*", **headers):
    """A chunk; without a token, as the session URI is one."""
    span = f"bytes {first}-{first + len(data) - 1}/{total}"
    return ask(server, "PUT", uri, data, None, Content_Range=span, **headers)


def ask_state(server, uri, total="*", **headers):
    return ask(server, "PUT", uri, b"", None, Content_Range=f"bytes */{total}", **headers)


def kept(answer):
    """How many bytes a 308 says are there."""
    assert answer.status == 308, (answer.status, answer.body)
    text = answer.headers["Range"]
    return int(text.removeprefix("bytes=0-")) + 1 if text else 0


def path_of(name, bucket="bucket"):
    return f"/storage/v1/b/{bucket}/o/" + urllib.parse.quote(name, safe="")


@pytest.mark.parametrize("name", ["plain", "a/b c+é%~*'()", "dots/./../x//y", "?q=1&b#c", "bytes-\U0001f4be"])
def test_object(server, name):
    made = json.loads(insert(server, name, b"hello", ifGenerationMatch="0").body)
    assert (made["name"], made["size"], made["crc32c"], made["md5Hash"]) == (name, "5", crc32c(b"hello"), md5(b"hello"))
    assert json.loads(ask(server, "GET", path_of(name)).body) == made
    read = ask(server, "GET", path_of(name) + "?alt=media")
    assert (read.status, read.body, read.headers["X-Goog-Generation"]) == (200, b"hello", made["generation"])
    part = ask(server, "GET", path_of(name) + "?alt=media&generation=" + made["generation"], Range="bytes=1-2")
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"el", "bytes 1-2/5")
    assert ask(server, "GET", path_of(name) + "?alt=media", Range="bytes=5-").status == 416
    assert error(insert(server, name, b"other", ifGenerationMatch="0")) == (412, "conditionNotMet")
    assert insert(server, name, b"other", ifGenerationMatch=made["generation"]).status == 200
    gone = ask(server, "GET", path_of(name) + "?alt=media&generation=" + made["generation"])
    assert gone.status == 404 and gone.body == f"No such object: bucket/{name}".encode()
    assert error(ask(server, "DELETE", path_of(name) + "?generation=" + made["generation"])) == (404, "notFound")
    assert error(ask(server, "DELETE", path_of(name) + "?ifGenerationMatch=7")) == (412, "conditionNotMet")
    assert ask(server, "DELETE", path_of(name)).status == 204
    assert error(ask(server, "GET", path_of(name))) == (404, "notFound")


def test_multipart_and_its_checks(server):
    resource = {"name": "k", "metadata": {"sha256": "1"}, "storageClass": "NEARLINE", "crc32c": crc32c(b"hello"),
                "customTime": "2026-01-02T03:04:05+01:00"}  # fmt: skip
    answer = json.loads(multipart(server, resource, b"hello", kmsKeyName="projects/p/locations/l/keyRings/r/cryptoKeys/k").body)
    assert (answer["metadata"], answer["storageClass"], answer["contentType"]) == ({"sha256": "1"}, "NEARLINE", "text/plain")
    assert answer["customTime"] == "2026-01-02T02:04:05.000Z"
    assert answer["kmsKeyName"].endswith("/cryptoKeys/k/cryptoKeyVersions/1")
    assert server.content("k") == b"hello"
    for change in ({"crc32c": crc32c(b"hullo")}, {"md5Hash": md5(b"hullo")}, {"crc32c": "x"}, {"storageClass": "FROZEN"},
                   {"metadata": {"n": 1}}, {"customTime": "soon"}, {"size": "5"}, {"retention": {"mode": "Locked"}}):  # fmt: skip
        assert error(multipart(server, {"name": "bad", **change}, b"hello")) == (400, "invalid"), change
    assert set(server.objects()) == {"k"}
    assert server.state()["bytes_held"] == 5


def test_resumable(server):
    data = os.urandom(3 * UNIT + 1000)
    resource = {"metadata": {"a": "b"}, "contentType": "application/gzip"}
    start = session(server, "a/k", resource, ifGenerationMatch=0, headers={"X_Upload_Content_Length": str(len(data))})
    uri = start.headers["Location"]
    assert start.status == 200 and uri.startswith(server.http)
    assert uri.endswith("&upload_id=" + start.headers["X-GUploader-UploadID"])  # as Google: a request's name is a secret
    assert kept(ask_state(server, uri)) == 0
    assert kept(chunk(server, uri, data[:UNIT], 0)) == UNIT
    assert kept(ask_state(server, uri, len(data))) == UNIT
    assert kept(chunk(server, uri, data[: 2 * UNIT], 0)) == 2 * UNIT  # what is there already is passed over
    ahead = chunk(server, uri, data[3 * UNIT :], 3 * UNIT, len(data))
    assert ahead.status == 503 and b"exceeds already uploaded size of 524288" in ahead.body
    for bad in (data[2 * UNIT :][:1000], data[2 * UNIT :][: UNIT + 1]):
        assert chunk(server, uri, bad, 2 * UNIT).status == 400
    assert chunk(server, uri, data[2 * UNIT :], 2 * UNIT, len(data) + UNIT).status == 400  # another total
    assert server.uploads()[0]["kept"] == 2 * UNIT and not server.objects()
    bad = chunk(server, uri, data[2 * UNIT :], 2 * UNIT, len(data), X_Goog_Hash=f"crc32c={crc32c(b'other')}")
    assert bad.status == 400 and b"calculated CRC32C" in bad.body and not server.objects()
    sums = f"crc32c={crc32c(data)},md5={md5(data)}"
    done = json.loads(ask_state(server, uri, len(data), X_Goog_Hash=sums).body)
    assert (done["size"], done["metadata"], done["contentType"]) == (str(len(data)), {"a": "b"}, "application/gzip")
    assert (done["crc32c"], done["md5Hash"]) == (crc32c(data), md5(data))
    assert server.content("a/k") == data and not server.uploads()
    for again in (ask_state(server, uri), chunk(server, uri, data[:UNIT], 0), ask_state(server, uri, len(data))):
        assert again.status == 200 and json.loads(again.body)["generation"] == done["generation"]
    hidden = [e for e in server.log() if uri.partition("upload_id=")[2] in json.dumps(e)]
    assert not hidden


def test_a_session_of_unknown_size_and_conditions_at_its_end(server):
    uri = session(server, "k", ifGenerationMatch=0).headers["Location"]
    assert kept(chunk(server, uri, b"x" * UNIT, 0)) == UNIT
    insert(server, "k", b"was quicker")
    assert error(ask_state(server, uri, UNIT)) == (412, "conditionNotMet")
    assert error(session(server, "k", ifGenerationMatch=0)) == (412, "conditionNotMet")
    assert server.content("k") == b"was quicker"
    empty = session(server, "empty").headers["Location"]
    assert json.loads(ask_state(server, empty, 0).body)["size"] == "0"
    whole = session(server, "whole").headers["Location"]
    assert json.loads(ask(server, "PUT", whole, b"all at once", None).body)["size"] == "11"


def test_sessions_end(server):
    uri = session(server, "k").headers["Location"]
    wrong = uri[:-4] + "XXXX"
    assert ask_state(server, wrong).status == 404
    assert ask(server, "DELETE", uri, token=None).status == 499
    assert ask_state(server, uri).status == 410
    server.change(gone_status=404)
    assert ask_state(server, uri).status == 404
    late = session(server, "k").headers["Location"]
    server.change(session_seconds=0)
    assert chunk(server, late, b"x", 0, 1).status == 404
    assert not server.uploads() and server.state()["bytes_held"] == 0


@pytest.mark.parametrize("status", [None, 503])
@pytest.mark.parametrize("early", [False, True])
def test_less_is_kept_than_was_sent(server, status, early):
    data = os.urandom(4 * UNIT)
    uri = session(server, "k").headers["Location"]
    server.rule({"type": "keep", "bytes": 2 * UNIT + 77, "status": status, "early": early}, {"operation": "UploadChunk"})
    answer = chunk(server, uri, data, 0, len(data))
    if status or early:
        assert error(answer) == (503, "backendError")
    else:
        assert kept(answer) == 2 * UNIT
    assert kept(ask_state(server, uri)) == 2 * UNIT
    assert chunk(server, uri, data[2 * UNIT :], 2 * UNIT, len(data)).status == 200
    assert server.content("k") == data


def test_a_chunk_that_breaks_off_is_kept_in_units(server):
    data = os.urandom(6 * UNIT)
    uri = session(server, "k").headers["Location"]
    parts = headers_of(server, {"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"}, None)
    whole = request_bytes("PUT", uri, parts, data)
    with connect(uri) as sock:
        sock.sendall(whole[: -3 * UNIT - 1000])
    wait_for(lambda: server.last("UploadChunk").get("ended"))  # it may not even have been accepted yet
    assert kept(ask_state(server, uri)) == 2 * UNIT
    server.rule({"type": "hold", "at": "body", "bytes": UNIT + 5}, {"operation": "UploadChunk"})
    with connect(uri) as held:
        held.sendall(request_bytes("PUT", uri, headers_of(server, {"Content-Range": "bytes 524288-*/*"}, None), data[2 * UNIT :]))
        server.wait_holding()
        assert kept(ask_state(server, uri)) == 3 * UNIT  # and the session is no longer that one's
        server.release()
        assert kept(read_answer(held)) == 3 * UNIT
    assert chunk(server, uri, data[3 * UNIT :], 3 * UNIT, len(data)).status == 200
    assert server.content("k") == data


def test_a_byte_that_arrives_as_another(server):
    body = b"hello"
    uri = session(server, "k", {"crc32c": crc32c(body)}).headers["Location"]
    server.rule({"type": "corrupt", "at": 3}, {"operation": "UploadChunk"})
    assert chunk(server, uri, body, 0, 5).status == 400 and not server.objects()
    server.change(hashes="ignored")
    assert json.loads(ask_state(server, uri, 5).body)["crc32c"] == crc32c(b"helmo")


def test_tokens(server):
    assert error(insert(server, "k", b"1", token=None)) == (401, "required")
    assert error(insert(server, "k", b"1", token="stranger")) == (401, "authError")
    reader = {"token": "reader", "scopes": ["https://www.googleapis.com/auth/devstorage.read_only"]}
    server.credentials(add=[reader])
    assert error(insert(server, "k", b"1", token="reader")) == (403, "forbidden")
    assert ask(server, "GET", "/storage/v1/b/bucket/o", token="reader").status == 200
    server.credentials(expire=["reader"])
    refused = ask(server, "GET", "/storage/v1/b/bucket/o", token="reader")
    assert error(refused) == (401, "authError") and refused.headers["WWW-Authenticate"].startswith("Bearer")
    uri = session(server, "k").headers["Location"]
    assert ask(server, "PUT", uri, b"", "reader", Content_Range="bytes */*").status == 401
    assert ask_state(server, uri).status == 308
    server.rule("expire_credentials", {"operation": "GetBucket"})
    assert ask(server, "GET", "/storage/v1/b/bucket").status == 401
    assert ask(server, "GET", "/storage/v1/b/other").status == 401
    server.change(anonymous=True)
    assert ask(server, "GET", "/storage/v1/b/bucket", token=None).status == 200
    assert "fake-token" not in json.dumps(server.log())


def test_lists_are_paged(server):
    server.change(page=3)
    names = sorted(f"p/{n}&<{n}>" for n in range(8))
    for name in [*names, "other", "q/1/2"]:
        insert(server, name, b"")
    found, token, pages = [], "", 0
    while True:
        parameters = {"prefix": "p/", "fields": "items(name,size),nextPageToken", "pageToken": token}
        query = urllib.parse.urlencode({n: v for n, v in parameters.items() if v})
        page = json.loads(ask(server, "GET", f"/storage/v1/b/bucket/o?{query}").body)
        assert all(set(item) == {"name", "size"} for item in page["items"])
        found += [item["name"] for item in page["items"]]
        pages += 1
        token = page.get("nextPageToken")
        if not token:
            break
    assert found == names and pages == 3
    server.change(page=1000)
    shared = json.loads(ask(server, "GET", "/storage/v1/b/bucket/o?delimiter=/&maxResults=2").body)
    assert [item["name"] for item in shared["items"]] == ["other"] and shared["prefixes"] == ["p/"]
    rest = json.loads(ask(server, "GET", "/storage/v1/b/bucket/o?delimiter=/&pageToken=" + shared["nextPageToken"]).body)
    assert rest["prefixes"] == ["q/"] and "items" not in rest


def test_what_must_stay(server):
    made = {}
    for bucket, reason in (("retained", "retentionPolicyNotMet"), ("held", "objectUnderActiveHold")):
        made[bucket] = json.loads(insert(server, "k", b"1", bucket=bucket).body)
        assert error(ask(server, "DELETE", path_of("k", bucket))) == (403, reason)
        assert error(insert(server, "k", b"2", bucket=bucket)) == (403, reason)
    assert made["held"]["eventBasedHold"] is True and made["retained"]["retentionExpirationTime"]
    server.change(clock_offset=3700)
    assert ask(server, "DELETE", path_of("k", "retained")).status == 204
    until = {"retention": {"mode": "Unlocked", "retainUntilTime": "2099-01-01T00:00:00Z"}}
    assert multipart(server, {"name": "k", **until}, b"1", bucket="locked").status == 200
    assert error(ask(server, "DELETE", path_of("k", "locked"))) == (403, "retentionPolicyNotMet")
    assert multipart(server, {"name": "k", "temporaryHold": True}, b"1").status == 200
    assert error(ask(server, "DELETE", path_of("k"))) == (403, "objectUnderActiveHold")


def test_versions(server):
    first, second = (json.loads(insert(server, "k", body, bucket="versioned").body)["generation"] for body in (b"1", b"2"))
    read = path_of("k", "versioned") + "?alt=media&generation="
    assert (ask(server, "GET", read + first).body, ask(server, "GET", read + second).body) == (b"1", b"2")
    assert ask(server, "DELETE", path_of("k", "versioned") + "?generation=" + second).status == 204
    assert ask(server, "GET", path_of("k", "versioned")).status == 404
    assert ask(server, "GET", read + first).body == b"1"


def test_customer_keys(server):
    key = os.urandom(32)
    names = ("X_Goog_Encryption_Algorithm", "X_Goog_Encryption_Key", "X_Goog_Encryption_Key_Sha256")
    right = dict(zip(names, ("AES256", base64.b64encode(key).decode(), base64.b64encode(hashlib.sha256(key).digest()).decode())))
    where = "/upload/storage/v1/b/bucket/o?uploadType=media&name=k"
    assert error(ask(server, "POST", where, b"1", **right)) == (403, "sslRequired")
    server.change(customer_keys_over_http=True)
    made = ask(server, "POST", where, b"1", **right)
    assert json.loads(made.body)["customerEncryption"]["keySha256"] == right[names[2]]
    assert ask(server, "GET", path_of("k") + "?alt=media", **right).body == b"1"
    assert ask(server, "GET", path_of("k") + "?alt=media").status == 400
    assert "crc32c" not in json.loads(ask(server, "GET", path_of("k")).body)
    wrong = {**right, names[2]: base64.b64encode(bytes(32)).decode()}
    assert error(ask(server, "GET", path_of("k"), **wrong)) == (400, "customerEncryptionKeySha256IsInvalid")
    assert right[names[1]] not in json.dumps(server.log())


@pytest.mark.parametrize("operation, path", [
    ("GetBucket", "/storage/v1/b/bucket"), ("ListObjects", "/storage/v1/b/bucket/o"), ("GetObject", "/storage/v1/b/bucket/o/k"),
    ("ReadObject", "/storage/v1/b/bucket/o/k?alt=media"), ("ReadObject", "/download/storage/v1/b/bucket/o/k?alt=media"),
])  # fmt: skip
def test_rules_know_operations(server, operation, path):
    insert(server, "k", b"1")
    slower = {"type": "respond", "status": 429, "code": "rateLimitExceeded", "headers": {"Retry-After": "1"}}
    server.rule(slower, {"operation": operation})
    refused = ask(server, "GET", path)
    assert refused.status == 429 and refused.headers["Retry-After"] == "1"
    assert server.last(operation)["code"] == "rateLimitExceeded"
    assert ask(server, "GET", path).status == 200
    assert error(ask(server, "GET", "/storage/v1/b/nowhere/o")) == (404, "notFound")
    assert error(ask(server, "GET", "/storage/v1/b/bucket/o/a/b")) == (404, "notFound")
