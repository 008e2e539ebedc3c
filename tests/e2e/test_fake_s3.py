"""The scripted S3 (tests/fakes) against boto3, which signs and computes digests by code that isn't ours, and against
the published example of a signature. Its faults are looked at from the socket."""

import base64
import hashlib
import os
import socket
import time

import pytest
from botocore.exceptions import ClientError

from fakes import checksums, sigv4
from fakes.wire import Request
from harness import boto
from harness.boto import add_headers, signed
from harness.fakes import FakeS3
from harness.raw_http import connect, read_answer, request_bytes, send

MIB = 1 << 20


@pytest.fixture(scope="module")
def server():
    with FakeS3() as fake:
        yield fake


@pytest.fixture(autouse=True)
def clean(no_aws_settings, server):
    server.reset()


@pytest.fixture(params=["http", "https"])
def url(request, server):
    return getattr(server, request.param)


def client(server, url=None, access_key=FakeS3.access_key, secret_key=FakeS3.secret_key, **options):
    return boto.client("s3", url or server.http, access_key, secret_key, ca_file=server.ca_file, **options)


def raw(server, method, path, body=b"", headers=(), secret=FakeS3.secret_key, **options):
    where = server.http + path
    return send(method, where, signed(method, where, FakeS3.access_key, secret, body, headers, **options), body)


def refused(status, code, call, **arguments):
    with pytest.raises(ClientError) as e:
        call(**arguments)
    answer = e.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (status, code)
    return answer


def b64(digest):
    return base64.b64encode(digest).decode()


# -- what S3 does


def test_crcs():
    for polynomial, value in ((checksums.CRC32C, "e3069283"), (checksums.CRC64NVME, "ae8b14860a799888")):
        crc = checksums.Crc(polynomial)
        crc.update(b"123456789")
        assert crc.digest().hex() == value
    data = os.urandom(3 * MIB + 4567)
    folded = checksums.Crc(checksums.CRC32)
    folded.update(data)
    assert folded.digest() == checksums.Crc32.digest(_updated(checksums.Crc32(), data))


def _updated(crc, data):
    crc.update(data)
    return crc


def test_published_signature():
    """AWS's example GET of examplebucket, 24 May 2013."""
    empty = hashlib.sha256().hexdigest()
    headers = [
        ("Host", "examplebucket.s3.amazonaws.com"),
        ("Range", "bytes=0-9"),
        ("x-amz-content-sha256", empty),
        ("x-amz-date", "20130524T000000Z"),
        (
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
    ]
    key = sigv4.Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    keys, then = {key.access_key: key}, sigv4.parse_iso("20130524T000000Z")
    assert sigv4.verify(Request("GET", "/test.txt", headers, False), "s3", keys, then).region == "us-east-1"
    with pytest.raises(sigv4.AuthError, match="does not match"):
        sigv4.verify(Request("GET", "/test.tx", headers, False), "s3", keys, then)


@pytest.mark.parametrize("key", ["plain", "a/b c+é%~*'()", "dots/./../x//y", "?q=1&b#c", "bytes-\U0001f4be"])
def test_object(server, url, key):
    s3 = client(server, url)
    etag = s3.put_object(
        Bucket="bucket",
        Key=key,
        Body=b"hello",
        Metadata={"sha": "1"},
        StorageClass="STANDARD_IA",
        Tagging="a=1&b=2",
        ServerSideEncryption="AES256",
    )["ETag"]
    assert etag == f'"{hashlib.md5(b"hello").hexdigest()}"'
    head = s3.head_object(Bucket="bucket", Key=key)
    assert (head["ContentLength"], head["Metadata"], head["StorageClass"]) == (5, {"sha": "1"}, "STANDARD_IA")
    assert head["ServerSideEncryption"] == "AES256"
    assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == b"hello"
    ranged = s3.get_object(Bucket="bucket", Key=key, Range="bytes=1-2")
    assert (ranged["Body"].read(), ranged["ContentRange"]) == (b"el", "bytes 1-2/5")
    assert s3.get_object(Bucket="bucket", Key=key, Range="bytes=-2")["Body"].read() == b"lo"
    refused(416, "InvalidRange", s3.get_object, Bucket="bucket", Key=key, Range="bytes=5-")
    assert [o["Key"] for o in s3.list_objects_v2(Bucket="bucket")["Contents"]] == [key]
    assert server.content(key) == b"hello"
    assert server.objects()[key]["headers"]["x-amz-tagging"] == "a=1&b=2"
    s3.delete_object(Bucket="bucket", Key=key)
    refused(404, "404", s3.head_object, Bucket="bucket", Key=key)
    refused(404, "NoSuchKey", s3.get_object, Bucket="bucket", Key=key)


def test_lists_are_paged(server):
    server.change(page=3)
    s3 = client(server)
    keys = sorted(f"p/{n}&<{n}>" for n in range(8))
    for key in [*keys, "other"]:
        s3.put_object(Bucket="bucket", Key=key, Body=b"")
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix="p/"))
    assert [len(p["Contents"]) for p in pages] == [3, 3, 2]
    assert [o["Key"] for p in pages for o in p["Contents"]] == keys
    ids = {s3.create_multipart_upload(Bucket="bucket", Key=key)["UploadId"] for key in [*keys, "p/0&<0>"]}
    s3.create_multipart_upload(Bucket="bucket", Key="other")
    found = [
        u
        for p in s3.get_paginator("list_multipart_uploads").paginate(Bucket="bucket", Prefix="p/")
        for u in p["Uploads"]
    ]
    assert len(found) == 9 and {u["UploadId"] for u in found} == ids
    upload = {"Bucket": "bucket", "Key": "other", "UploadId": server.uploads()[-1]["upload_id"]}
    for number in (1, 2, 3, 5, 8, 13, 21):
        s3.upload_part(**upload, PartNumber=number, Body=b"x" * number)
    pages = list(s3.get_paginator("list_parts").paginate(**upload))
    assert [p["Size"] for page in pages for p in page["Parts"]] == [1, 2, 3, 5, 8, 13, 21] and len(pages) == 3


@pytest.mark.parametrize("algorithm, field", [("sha256", "ChecksumSHA256"), ("crc32c", "ChecksumCRC32C")])
def test_multipart_with_checksums(server, url, algorithm, field):
    s3 = client(server, url)
    upload = {"Bucket": "bucket", "Key": "k"}
    upload["UploadId"] = s3.create_multipart_upload(**upload, ChecksumAlgorithm=algorithm.upper(), Metadata={"a": "b"})[
        "UploadId"
    ]
    bodies, parts = [os.urandom(5 * MIB), os.urandom(6 * MIB), b"end"], []
    refused(400, "InvalidRequest", s3.upload_part, **upload, PartNumber=1, Body=b"without a digest")
    for number, body in enumerate(bodies, 1):
        value = {field: _checksum(algorithm, body)}
        wrong = {field: _checksum(algorithm, body + b".")}
        refused(400, "BadDigest", s3.upload_part, **upload, PartNumber=number, Body=body, **wrong)
        parts.append(
            {
                "PartNumber": number,
                "ETag": s3.upload_part(**upload, PartNumber=number, Body=body, **value)["ETag"],
                **value,
            }
        )
    listed = s3.list_parts(**upload)
    assert [(p["Size"], p[field]) for p in listed["Parts"]] == [(len(b), p[field]) for b, p in zip(bodies, parts)]
    refused(400, "InvalidPartOrder", s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": parts[::-1]})
    refused(
        400,
        "EntityTooSmall",
        s3.complete_multipart_upload,
        **upload,
        MultipartUpload={"Parts": _swapped(s3, upload, field)},
    )
    without = [{k: p[k] for k in ("PartNumber", "ETag")} for p in parts]
    refused(400, "InvalidRequest", s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": without})
    wrong = [{**p, "ETag": parts[0]["ETag"]} for p in parts]
    refused(400, "InvalidPart", s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": wrong})
    wrong = [{**p, field: parts[0][field]} for p in parts]
    refused(400, "InvalidPart", s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": wrong})
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    md5s = b"".join(hashlib.md5(body).digest() for body in bodies)
    assert done["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-3"'
    assert done[field].endswith("-3")
    assert server.content("k") == b"".join(bodies)
    head = s3.head_object(Bucket="bucket", Key="k", ChecksumMode="ENABLED")
    assert (head[field], head["Metadata"]) == (done[field], {"a": "b"})
    refused(404, "NoSuchUpload", s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": parts})
    assert server.uploads() == []


def _checksum(algorithm, body):
    return checksums.text(_updated(checksums.ALGORITHMS[algorithm](), body).digest())


def _swapped(s3, upload, field):
    """A small part in front of another one."""
    parts = []
    for number in (10, 11):
        value = {field: _checksum({"ChecksumSHA256": "sha256", "ChecksumCRC32C": "crc32c"}[field], b"small")}
        etag = s3.upload_part(**upload, PartNumber=number, Body=b"small", **value)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag, **value})
    return parts


@pytest.mark.parametrize("algorithm", ["crc64nvme", "crc32c"])
def test_full_object_checksum(server, algorithm):
    """The whole's CRC, put together by the fake from those of the parts."""
    server.change(min_part_size=1)
    s3 = client(server)
    add_headers(
        s3, "CreateMultipartUpload", x_amz_checksum_algorithm=algorithm.upper(), x_amz_checksum_type="FULL_OBJECT"
    )
    upload = {"Bucket": "bucket", "Key": "k"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    bodies = [os.urandom(n) for n in (100_000, 1, 70_001)]
    parts = []
    for number, body in enumerate(bodies, 1):
        one = add_headers(client(server), "UploadPart", **{f"x_amz_checksum_{algorithm}": _checksum(algorithm, body)})
        parts.append({"PartNumber": number, "ETag": one.upload_part(**upload, PartNumber=number, Body=body)["ETag"]})
    whole = _checksum(algorithm, b"".join(bodies))
    size = sum(map(len, bodies))
    for headers, code in (
        ({"x_amz_checksum_type": "COMPOSITE"}, "InvalidRequest"),
        ({"x_amz_mp_object_size": str(size + 1)}, "InvalidRequest"),
        ({f"x_amz_checksum_{algorithm}": _checksum(algorithm, b"")}, "BadDigest"),
    ):
        wrong = add_headers(client(server), "CompleteMultipartUpload", **headers)
        refused(400, code, wrong.complete_multipart_upload, **upload, MultipartUpload={"Parts": parts})
    right = {
        "x_amz_checksum_type": "FULL_OBJECT",
        "x_amz_mp_object_size": str(size),
        f"x_amz_checksum_{algorithm}": whole,
    }
    add_headers(s3, "CompleteMultipartUpload", **right).complete_multipart_upload(
        **upload, MultipartUpload={"Parts": parts}
    )
    assert server.objects()["k"]["checksums"] == {algorithm: whole}


def test_conditional_writes(server):
    s3 = client(server)
    add_headers(s3, "PutObject", If_None_Match="*")
    add_headers(s3, "CompleteMultipartUpload", If_None_Match="*")
    s3.put_object(Bucket="bucket", Key="k", Body=b"1")
    refused(412, "PreconditionFailed", s3.put_object, Bucket="bucket", Key="k", Body=b"2")
    upload = {"Bucket": "bucket", "Key": "k"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"3")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    refused(412, "PreconditionFailed", s3.complete_multipart_upload, **upload, MultipartUpload=parts)
    assert server.content("k") == b"1" and len(server.uploads()) == 1
    server.change(conditional_put="refused")
    refused(501, "NotImplemented", s3.put_object, Bucket="bucket", Key="new", Body=b"2")
    server.change(conditional_put="ignored")
    s3.complete_multipart_upload(**upload, MultipartUpload=parts)
    assert server.content("k") == b"3"


def test_object_lock(server):
    s3 = client(server)
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": "2099-01-01T00:00:00Z"}
    md5 = {"ContentMD5": b64(hashlib.md5(b"1").digest())}
    refused(400, "InvalidRequest", s3.put_object, Bucket="bucket", Key="k", Body=b"1", **md5, **lock)
    answer = raw(server, "PUT", "/locked/k", b"1", {"x-amz-object-lock-legal-hold": "ON"})
    assert (answer.status, answer.code) == (400, "InvalidRequest") and b"Content-MD5 OR x-amz-checksum-" in answer.body
    assert raw(server, "PUT", "/retained/k", b"1").code == "InvalidRequest"
    version = s3.put_object(Bucket="locked", Key="k", Body=b"1", **md5, **lock)["VersionId"]
    assert s3.head_object(Bucket="locked", Key="k")["ObjectLockMode"] == "GOVERNANCE"
    refused(403, "AccessDenied", s3.delete_object, Bucket="locked", Key="k", VersionId=version)
    assert s3.delete_object(Bucket="locked", Key="k")["DeleteMarker"]
    assert [v["version_id"] for v in server.state()["older_versions"]] == [version]
    upload = {"Bucket": "locked", "Key": "m"}
    upload["UploadId"] = s3.create_multipart_upload(**upload, **lock)["UploadId"]
    path = f"/locked/m?partNumber=1&uploadId={upload['UploadId']}"
    assert raw(server, "PUT", path, b"1").code == "InvalidRequest"
    s3.upload_part(**upload, PartNumber=1, Body=b"1", **md5)


def test_customer_keys(server):
    s3 = client(server, server.https)
    key, other = os.urandom(32), os.urandom(32)
    mine = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    s3.put_object(Bucket="bucket", Key="k", Body=b"1", **mine)
    assert server.objects()["k"]["etag"] != hashlib.md5(b"1").hexdigest()
    assert s3.get_object(Bucket="bucket", Key="k", **mine)["Body"].read() == b"1"
    refused(400, "400", s3.head_object, Bucket="bucket", Key="k")
    refused(403, "403", s3.head_object, Bucket="bucket", Key="k", **{**mine, "SSECustomerKey": other})
    upload = {"Bucket": "bucket", "Key": "m"}
    upload["UploadId"] = s3.create_multipart_upload(**upload, **mine)["UploadId"]
    refused(400, "InvalidRequest", s3.upload_part, **upload, PartNumber=1, Body=b"1")
    refused(
        400, "InvalidRequest", s3.upload_part, **upload, PartNumber=1, Body=b"1", **{**mine, "SSECustomerKey": other}
    )
    s3.upload_part(**upload, PartNumber=1, Body=b"1", **mine)
    wrong_md5 = {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": b64(key),
        "SSECustomerKeyMD5": b64(hashlib.md5(other).digest()),
    }
    refused(400, "InvalidArgument", s3.put_object, Bucket="bucket", Key="k", Body=b"1", **wrong_md5)
    headers = {
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-server-side-encryption-customer-key": b64(key),
        "x-amz-server-side-encryption-customer-key-MD5": b64(hashlib.md5(key).digest()),
    }
    assert raw(server, "PUT", "/bucket/plain", b"1", headers).code == "InvalidRequest"
    shown = server.log("PutObject")[-1]["headers"]
    assert shown["x-amz-server-side-encryption-customer-key"] == "..."


# -- what it refuses


def test_wrong_secret(server, url):
    s3 = client(server, url, secret_key="wrong")
    answer = refused(403, "SignatureDoesNotMatch", s3.put_object, Bucket="bucket", Key="k", Body=b"1")
    assert answer["ResponseMetadata"]["RequestId"] and answer["ResponseMetadata"]["HostId"]
    refused(403, "InvalidAccessKeyId", client(server, url, "AKIAWHO").put_object, Bucket="bucket", Key="k", Body=b"1")
    assert server.objects() == {}


def test_tampering(server):
    where = server.http + "/bucket/k"
    headers = signed("PUT", where, FakeS3.access_key, FakeS3.secret_key, b"body", {"x-amz-meta-a": "1"})
    assert send("PUT", where + "x", headers, b"body").code == "SignatureDoesNotMatch"
    assert send("PUT", where + "?acl", headers, b"body").code == "SignatureDoesNotMatch"
    assert send("PUT", where, {**headers, "x-amz-meta-a": "2"}, b"body").code == "SignatureDoesNotMatch"
    assert send("PUT", where, headers, b"Body").code == "XAmzContentSHA256Mismatch"
    assert send("PUT", where, {**headers, "x-amz-meta-b": "2"}, b"body").code == "AccessDenied"
    assert send("PUT", where, {}, b"body").code == "AccessDenied"
    assert send("PUT", where, headers, b"body").status == 200
    wrong_md5 = {"Content-MD5": b64(hashlib.md5(b"other").digest())}
    assert raw(server, "PUT", "/bucket/k", b"body", wrong_md5).code == "BadDigest"
    assert raw(server, "PUT", "/bucket/k", b"body", payload="UNSIGNED-PAYLOAD").code == "InvalidRequest"


def test_path_rule(server):
    """What is signed is the decoded key, encoded once and by the one table, however the path was written."""
    where = server.http + "/bucket/a%2Ab~c/../d%20e"
    headers = signed("PUT", where, FakeS3.access_key, FakeS3.secret_key, b"1")
    for written in ("a*b~c/../d%20e", "%61%2ab%7Ec/%2e./d%20e", "a%2Ab~c%2F..%2Fd%20e"):
        assert send("PUT", server.http + "/bucket/" + written, headers, b"1").status == 200
        assert list(server.objects()) == ["a*b~c/../d e"]
    for other in ("a*b~c/../d%20e", "d%20e"):
        where = server.http + "/bucket/" + other
        unlike = signed("PUT", where, FakeS3.access_key, FakeS3.secret_key, b"1")
        target = where if "*" in other else server.http + "/bucket/a%2Ab~c/../d%20e"
        assert send("PUT", target, unlike, b"1").code == "SignatureDoesNotMatch"


def test_tokens_and_clock(server):
    server.control("POST", "/credentials", {"add": [{"access_key": "ASIA1", "secret_key": "s", "session_token": "t"}]})
    arguments = {"Bucket": "bucket", "Key": "k", "Body": b"1"}
    refused(400, "InvalidToken", client(server, access_key="ASIA1", secret_key="s").put_object, **arguments)
    refused(400, "InvalidToken", client(server, access_key="ASIA1", secret_key="s", token="T").put_object, **arguments)
    client(server, access_key="ASIA1", secret_key="s", token="t").put_object(**arguments)
    server.change(clock_offset=-3600)
    answer = raw(server, "PUT", "/bucket/k", b"1")
    assert (answer.status, answer.code) == (403, "RequestTimeTooSkewed")
    then = time.mktime(time.strptime(answer.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT"))
    assert 3500 < time.mktime(time.gmtime()) - then < 3700
    server.change(clock_offset=800)
    assert raw(server, "PUT", "/bucket/k", b"1").status == 200


def test_presigned(server, url):
    s3 = client(server, url)
    s3.put_object(Bucket="bucket", Key="k", Body=b"hello")
    link = client(server).generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "k"}, ExpiresIn=60)
    host = {"Host": server.http.partition("//")[2]}
    assert send("GET", link, host).body == b"hello"
    assert send("GET", link.replace("Expires=60", "Expires=600"), host).code == "SignatureDoesNotMatch"
    server.change(clock_offset=61)
    assert send("GET", link, host).code == "AccessDenied"


@pytest.mark.parametrize(
    "status, code", [(400, "AuthorizationHeaderMalformed"), (301, "PermanentRedirect"), (307, "TemporaryRedirect")]
)
def test_regions(server, status, code):
    server.change(wrong_region=status)
    answer = raw(server, "PUT", "/elsewhere/k", b"1")
    assert (answer.status, answer.code, answer.headers["x-amz-bucket-region"]) == (status, code, "eu-central-1")
    assert b"<Region>eu-central-1</Region>" in answer.body
    head = raw(server, "HEAD", "/elsewhere")
    assert (head.status, head.body, head.headers["x-amz-bucket-region"]) == (status, b"", "eu-central-1")
    server.change(wrong_region_tells=["body"])
    assert raw(server, "HEAD", "/elsewhere").headers["x-amz-bucket-region"] is None
    assert raw(server, "PUT", "/elsewhere/k", b"1", region="eu-central-1").status == 200


def test_virtual_hosted(server, monkeypatch):
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: real("127.0.0.1" if "s3.localhost" in str(host) else host, *a, **k)
    )
    for port in (server.http.replace("127.0.0.1", "s3.localhost"), server.https.replace("127.0.0.1", "s3.localhost")):
        s3 = client(server, port, style="virtual")
        s3.put_object(Bucket="bucket", Key="v h", Body=b"1")
        assert server.log("PutObject")[-1]["host"].startswith("bucket.s3.localhost:")
    assert server.content("v h") == b"1"


def test_stores_with_less(server):
    md5 = {"Content-MD5": b64(hashlib.md5(b"1").digest())}
    server.change(checksums="refused")
    assert raw(server, "PUT", "/bucket/k", b"1", {"x-amz-checksum-crc32c": "AAAAAA=="}).status == 400
    assert raw(server, "PUT", "/bucket/k", b"1", md5).status == 200
    server.change(checksums="ignored")
    assert raw(server, "PUT", "/bucket/k", b"1", {"x-amz-checksum-crc32c": "AAAAAA=="}).status == 200
    server.change(capacity=10)
    full = raw(server, "PUT", "/bucket/k2", b"12345678901")
    assert (full.status, full.code) == (507, "XMinioStorageFull")
    assert "k2" not in server.objects()


# -- faults


def test_rules_count(server, wait_for):
    server.rule(
        {"type": "respond", "code": "SlowDown", "headers": {"Retry-After": "1"}},
        {"operation": "PutObject", "key": "^a", "nth": 2, "count": 2},
    )
    codes = [raw(server, "PUT", f"/bucket/{key}", b"1").code for key in ("a", "b", "a", "a", "a")]
    assert codes == ["", "", "SlowDown", "SlowDown", ""]
    wait_for(lambda: all(e["ended"] for e in server.log("PutObject")))
    entry = [e for e in server.log("PutObject") if e["status"] == 503][0]
    assert (entry["code"], entry["rule"], entry["ended"]) == ("SlowDown", "rule-1", "answered")
    assert raw(server, "PUT", "/bucket/a", b"1", secret="x").code == "SignatureDoesNotMatch"
    with pytest.raises(AssertionError, match="no action 'respnd'"):
        server.rule("respnd")
    with pytest.raises(AssertionError, match="unknown opration"):
        server.rule("stall", {"opration": "PutObject"})


def started_upload(server, size=5 * MIB):
    s3 = client(server)
    upload = {"Bucket": "bucket", "Key": "m"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"x" * size)["ETag"]
    body = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    )
    return f"/bucket/m?uploadId={upload['UploadId']}", body.encode()


def test_error_in_200(server):
    path, body = started_upload(server)
    server.rule("error_in_200", {"operation": "CompleteMultipartUpload"})
    answer = raw(server, "POST", path, body)
    assert (answer.status, answer.code) == (200, "InternalError")
    assert b"?>\n          " in answer.body and server.objects() == {}
    assert raw(server, "POST", path, body).status == 200 and "m" in server.objects()


def test_lost_answer(server):
    path, body = started_upload(server)
    server.rule("drop_answer", {"operation": "CompleteMultipartUpload"})
    with pytest.raises(OSError):
        raw(server, "POST", path, body)
    assert server.objects()["m"]["size"] == 5 * MIB
    assert raw(server, "POST", path, body).code == "NoSuchUpload"


@pytest.mark.parametrize("reset", [False, True])
def test_cut_in_mid_body(server, url, reset, wait_for):
    server.rule({"type": "close_request", "bytes": 300_000, "reset": reset}, {"operation": "PutObject"})
    where, body = url + "/bucket/k", os.urandom(8 * MIB)
    headers = signed("PUT", where, FakeS3.access_key, FakeS3.secret_key, body)
    with connect(where, server.ca_file) as sock, pytest.raises(OSError):  # ssl's errors are OSErrors as well
        sock.sendall(request_bytes("PUT", where, headers, body))
        sock.sendall(b"x")
        if sock.recv(10) == b"":
            raise ConnectionResetError
    wait_for(lambda: server.last("PutObject").get("ended") == ("reset" if reset else "closed on purpose"))
    entry = server.log("PutObject")[-1]
    assert (entry["request_bytes"], entry["status"]) == (300_000, None)
    wait_for(lambda: server.state()["bytes_held"] == 0)


def test_cut_in_mid_answer(server):
    client(server).put_object(Bucket="bucket", Key="k", Body=b"0123456789")
    server.rule({"type": "close_response", "bytes": 4}, {"operation": "GetObject"})
    where = server.http + "/bucket/k"
    with connect(where) as sock:
        sock.sendall(request_bytes("GET", where, signed("GET", where, FakeS3.access_key, FakeS3.secret_key)))
        data = b""
        while piece := sock.recv(1000):
            data += piece
    assert data.endswith(b"\r\n\r\n0123") and b"Content-Length: 10\r\n" in data


def test_answers_that_go_wrong(server):
    client(server).put_object(Bucket="bucket", Key="k", Body=b"hello")
    path = "/bucket?list-type=2"
    whole = raw(server, "GET", path).body
    server.rule("slow")
    assert raw(server, "GET", path).body == whole
    server.rule({"type": "truncate", "bytes": 100})
    assert raw(server, "GET", path).body == whole[:100]
    server.rule("garbage")
    assert raw(server, "GET", path).body.startswith(b"\0")
    server.rule(
        {
            "type": "alter",
            "status": 299,
            "headers": {"ETag": None, "x-amz-request-id": "other"},
            "replace": {"hell": "HELL"},
        }
    )
    altered = raw(server, "GET", "/bucket/k")
    assert (altered.status, altered.body, altered.headers["ETag"]) == (299, b"HELLo", None)
    assert altered.headers["x-amz-request-id"] == "other"
    server.rule({"type": "respond", "status": 301, "code": "PermanentRedirect", "region": "nyc3"})
    assert raw(server, "GET", path).headers["x-amz-bucket-region"] == "nyc3"


@pytest.mark.parametrize("of", ["body", "headers"])
def test_endless(server, of, wait_for):
    server.rule({"type": "endless", "of": of})
    where = server.http + "/bucket/k"
    with connect(where) as sock:
        sock.sendall(request_bytes("GET", where, signed("GET", where, FakeS3.access_key, FakeS3.secret_key)))
        got = 0
        while got < 4 * MIB:
            piece = sock.recv(MIB)
            assert piece
            got += len(piece)
    wait_for(lambda: server.last("GetObject").get("ended"))


def test_stall_and_hold(server, wait_for):
    where = server.http + "/bucket/k"
    request = request_bytes("PUT", where, signed("PUT", where, FakeS3.access_key, FakeS3.secret_key, b"1234"), b"1234")
    server.rule({"type": "stall", "at": "body", "bytes": 2}, {"operation": "PutObject"})
    with connect(where) as sock:
        sock.sendall(request)
        wait_for(lambda: server.last("PutObject").get("request_bytes") == 2)
        assert server.activity()["in_flight"] == {"PutObject": 1}
    wait_for(lambda: server.last("PutObject").get("ended") == "stalled until the client went")
    server.rule({"type": "hold", "at": "answer"}, {"operation": "PutObject"})
    with connect(where) as sock:
        sock.sendall(request)
        server.wait_holding()
        assert "k" in server.objects()
        server.release()
        assert read_answer(sock).status == 200
    rule = server.rule({"type": "hold", "at": "answer"}, {"operation": "PutObject"})
    with connect(where) as sock:
        sock.sendall(request[:-1])
        wait_for(lambda: server.last("PutObject").get("rule") == rule)
        server.release()  # before it comes to where it would be held
        sock.sendall(request[-1:])
        assert read_answer(sock).status == 200
    server.rule("stall", {"operation": "Connect", "tls": True})
    with connect(server.https.replace("https", "http")) as sock:
        sock.sendall(b"\x16\x03\x01")
        wait_for(lambda: server.log("Connect"))
    server.rule({"type": "close_request", "reset": True}, {"operation": "Connect"})
    with pytest.raises(ConnectionResetError), connect(where) as sock:
        sock.recv(1)


def test_connection_ends_behind_an_answer(server):
    server.rule("close_after_answer", {"operation": "PutObject"})
    where = server.http + "/bucket/k"
    request = request_bytes("PUT", where, signed("PUT", where, FakeS3.access_key, FakeS3.secret_key, b"1"), b"1")
    with connect(where) as sock:
        sock.sendall(request)
        answer = read_answer(sock)
        assert answer.status == 200 and answer.headers["Connection"] is None
        assert sock.recv(1) == b""


def test_credentials_expire(server):
    server.control("POST", "/credentials", {"add": [{"access_key": "AKIANEW", "secret_key": "new"}]})
    server.rule("expire_credentials", {"operation": "PutObject", "nth": 3})
    codes = [raw(server, "PUT", "/bucket/k", b"1").code for _ in range(4)]
    assert codes == ["", "", "ExpiredToken", "ExpiredToken"]
    assert raw(server, "GET", "/bucket/k").code == "ExpiredToken"
    client(server, access_key="AKIANEW", secret_key="new").put_object(Bucket="bucket", Key="k", Body=b"1")


def test_expect_continue(server):
    where = server.http + "/bucket/k"
    good = signed("PUT", where, FakeS3.access_key, FakeS3.secret_key, b"1234")
    bad = signed("PUT", where, FakeS3.access_key, "wrong", b"1234")
    for headers, first in ((good, b"HTTP/1.1 100 Continue\r\n\r\n"), (bad, b"HTTP/1.1 403 Forbidden\r\n")):
        with connect(where) as sock:
            sock.sendall(request_bytes("PUT", where, {**headers, "Expect": "100-continue"}, b"1234")[:-4])
            assert sock.recv(len(first), socket.MSG_WAITALL) == first
            if first.startswith(b"HTTP/1.1 100"):
                sock.sendall(b"1234")
                assert read_answer(sock).status == 200


def test_one_connection_many_requests(server):
    where = server.http + "/bucket/k"
    with connect(where) as sock:
        for secret, status in ((FakeS3.secret_key, 200), ("wrong", 403), (FakeS3.secret_key, 200)):
            sock.sendall(request_bytes("PUT", where, signed("PUT", where, FakeS3.access_key, secret, b"1234"), b"1234"))
            assert read_answer(sock).status == status
    assert len({e["connection"] for e in server.log("PutObject")}) == 1


def test_ends_with_stdin():
    fake = FakeS3(rules=[{"match": {"operation": "PutObject"}, "action": {"type": "stall"}}])
    where = fake.http + "/bucket/k"
    with connect(where) as sock:
        sock.sendall(request_bytes("PUT", where, signed("PUT", where, FakeS3.access_key, FakeS3.secret_key)))
        fake.close()
        assert fake.popen.returncode == 0
    assert not os.path.exists(os.path.dirname(fake.ca_file))
