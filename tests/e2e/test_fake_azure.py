"""The scripted Azure (tests/fakes) against Azure's own SDK, which signs and reads by code that isn't ours, and beside
Azurite: where Azurite can tell, the same request gets the same answer. The faults that all fakes share are looked at
in test_fake_s3.py; here, that they reach Azure's operations."""

import base64
import hashlib
import os
import time
from email.utils import formatdate

import pytest

from fakes.shared_key import sign
from harness import azure_sdk
from harness.azure_endpoint import AzureEndpoint
from harness.azure_sdk import AzureError, in_seconds
from harness.fakes import FakeAzure
from harness.raw_http import connect, read_answer, request_bytes, send

MIB = 1 << 20
BLOCK_BLOB = {"x-ms-blob-type": "BlockBlob"}
OTHER_KEY = "YW5vdGhlciBrZXk="
CRC64 = base64.b64encode(bytes.fromhex("8898790a86148bae")).decode()  # of 123456789, Azure's order of the bytes
_numbers = iter(range(1, 1 << 30))


@pytest.fixture(scope="module")
def server():
    with FakeAzure() as fake:
        yield fake


@pytest.fixture(autouse=True)
def clean(server):
    server.reset()


@pytest.fixture
def fake(server):
    return server.endpoint()


@pytest.fixture
def fake_tls(server):
    return server.endpoint(tls=True)


@pytest.fixture(params=["azurite", "fake", "fake_tls"])
def store(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def container(store):
    return store.container(f"same-{next(_numbers)}")


def refused(status, code, call, *arguments):
    with pytest.raises(AzureError) as e:
        call(*arguments)
    assert (e.value.status, e.value.code) == (status, code)


def told(answer):
    return answer.status, answer.told


def md5(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def block_id(text):
    return base64.b64encode(text.encode()).decode()


def block_path(container, blob, id):
    return f"/{container}/{blob}?comp=block&blockid={id.replace('+', '%2B').replace('/', '%2F').replace('=', '%3D')}"


def block_list(*ids, kind="Latest"):
    inner = "".join(f"<{kind}>{id}</{kind}>" for id in ids)
    return f'<?xml version="1.0" encoding="utf-8"?><BlockList>{inner}</BlockList>'.encode()


# -- as Azurite


@pytest.mark.parametrize("name", ["plain.gz", "a/b ü+%&=?#.gz", "..dots/.x", "'\"<&>", "日本語"])
def test_blob(store, container, name):
    client, body = store.client(), os.urandom(70_000)
    headers = {"blobContentType": "application/gzip", "blobContentDisposition": "attachment"}
    client.put(container, name, body, metadata={"fence": "7", "Sha": "x"}, tier="Cool", tags={"a": "b c"},
               blobHTTPHeaders=headers)  # fmt: skip
    found = client.head(container, name)
    assert (found["contentLength"], found["contentMD5"]) == (len(body), hashlib.md5(body).digest())
    assert found["metadata"] == {"fence": "7", "sha": "x"}
    assert (found["contentType"], found["contentDisposition"]) == ("application/gzip", "attachment")
    assert (found["accessTier"], found["tagCount"], found["blobType"]) == ("Cool", 1, "BlockBlob")
    assert client.get(container, name) == body
    part = client.blob(container, name).read(60_000, 5_000)
    assert part["body"] == body[60_000:65_000] and part["contentRange"] == "bytes 60000-64999/70000"
    assert part["blobContentMD5"] == hashlib.md5(body).digest()
    assert client.blob(container, name).getTags()["tags"] == {"a": "b c"}
    client.blob(container, name).setTags({"c": "d", "e": "f"})
    assert client.blob(container, name).getTags()["tags"] == {"c": "d", "e": "f"}
    assert client.names(container) == [name]
    client.delete(container, name)
    assert client.head(container, name) is None
    refused(404, "BlobNotFound", client.delete, container, name)


def test_the_sdks_own_upload(store, container):
    """Blocks in parallel, as Azure's client makes them."""
    blob, body = store.client().blob(container, "large"), os.urandom(5 * MIB + 17)
    blob.uploadData(body, {"blockSize": MIB, "maxSingleShotSize": 1000, "concurrency": 3})
    assert store.client().sha256(container, "large") == (hashlib.sha256(body).hexdigest(), len(body))
    committed = blob.getBlockList("committed")["committedBlocks"]
    assert [b["size"] for b in committed] == [MIB] * 5 + [17]


def test_blocks(store, container):
    client = store.client()
    blob, ids = client.blob(container, "large"), [block_id(f"{n:05}") for n in range(4)]
    for each in ids[:3]:
        blob.stageBlock(each, each.encode(), len(each))
    listed = blob.getBlockList("all")
    assert sorted((b["name"], b["size"]) for b in listed["uncommittedBlocks"]) == [(i, len(i)) for i in ids[:3]]
    assert listed.get("committedBlocks", []) == []
    assert client.names(container) == [] and client.head(container, "large") is None
    assert client.names(container, includeUncommitedBlobs=True) == ["large"]
    refused(400, "InvalidBlockList", blob.commitBlockList, [ids[0], ids[3]])
    blob.commitBlockList([ids[2], ids[0]], {"conditions": {"ifNoneMatch": "*"}, "metadata": {"fence": "7"}})
    assert client.get(container, "large") == (ids[2] + ids[0]).encode()
    listed = blob.getBlockList("all")  # what the list leaves out is gone
    assert ([b["name"] for b in listed["committedBlocks"]], listed.get("uncommittedBlocks", [])) == ([ids[2], ids[0]], [])
    refused(400, "InvalidBlockList", blob.commitBlockList, [ids[1]])
    refused(409, "BlobAlreadyExists", blob.commitBlockList, [ids[0]], {"conditions": {"ifNoneMatch": "*"}})
    blob.stageBlock(ids[3], b"new", 3)
    blob.commitBlockList([ids[0], ids[3], ids[3]])
    assert client.get(container, "large") == ids[0].encode() + b"newnew"
    assert client.head(container, "large")["metadata"] == {}


def test_block_ids(store, container):
    assert told(store.raw("PUT", block_path(container, "k", block_id("0001")), b"1")) == (201, None)
    assert told(store.raw("PUT", block_path(container, "k", block_id("00001")), b"1")) == (400, "InvalidBlobOrBlock")
    assert told(store.raw("PUT", block_path(container, "k", "!"), b"1")) == (400, "InvalidQueryParameterValue")
    assert told(store.raw("PUT", block_path(container, "m", block_id("0" * 64)), b"1")) == (201, None)
    assert told(store.raw("PUT", block_path(container, "n", block_id("0" * 65)), b"1")) == (400, "OutOfRangeInput")
    assert told(store.raw("GET", f"/{container}/n?comp=blocklist&blocklisttype=all")) == (404, "BlobNotFound")


def test_conditions(store, container):
    path = f"/{container}/k"
    first = store.raw("PUT", path, b"one", {**BLOCK_BLOB, "If-None-Match": "*"})
    assert told(first) == (201, None)
    assert told(store.raw("PUT", path, b"two", {**BLOCK_BLOB, "If-None-Match": "*"})) == (409, "BlobAlreadyExists")
    etag = first.headers["ETag"]
    for method in ("GET", "HEAD"):
        assert told(store.raw(method, path, headers={"If-Match": etag})) == (200, None)
        assert told(store.raw(method, path, headers={"If-Match": '"0x1"'})) == (412, "ConditionNotMet")
    assert told(store.raw("PUT", path, b"two", {**BLOCK_BLOB, "If-Match": '"0x1"'})) == (412, "ConditionNotMet")
    assert told(store.raw("DELETE", path, headers={"If-Match": '"0x1"'})) == (412, "ConditionNotMet")
    assert told(store.raw("PUT", path, b"two", {**BLOCK_BLOB, "If-Match": etag})) == (201, None)
    assert told(store.raw("GET", path, headers={"If-Match": etag})) == (412, "ConditionNotMet")
    assert store.raw("GET", path).headers["ETag"] != etag


def test_ranges(store, container):
    store.client().put(container, "k", b"0123456789")
    for name in ("Range", "x-ms-range"):
        found = store.raw("GET", f"/{container}/k", headers={name: "bytes=2-4"})
        assert (found.status, found.body, found.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
        found = store.raw("GET", f"/{container}/k", headers={name: "bytes=7-"})
        assert (found.status, found.body, found.headers["Content-Range"]) == (206, b"789", "bytes 7-9/10")
        found = store.raw("GET", f"/{container}/k", headers={name: "bytes=20-30"})
        assert (*told(found), found.headers["Content-Range"]) == (416, "InvalidRange", "bytes */10")


def test_lists_are_paged(store, container):
    client, names = store.client(), [f"a/{n:02}" for n in range(7)] + ["b ü&<", "c"]
    for name in names:
        client.put(container, name, b"1", metadata={"n": "1"})
    listed = client.container(container).listAll({"pageSize": 2, "includeMetadata": True})
    assert [item["name"] for item in listed["items"]] == names and len(listed["pages"]) >= 5
    assert {item["properties"]["contentLength"] for item in listed["items"]} == {1}
    assert listed["items"][0]["metadata"] == {"n": "1"}
    assert client.names(container, prefix="a/") == names[:7]
    assert client.names(container, prefix="b ü&<") == ["b ü&<"]
    assert told(store.raw("GET", f"/{container}?restype=container&comp=list&maxresults=0"))[0] == 400


def test_what_is_not_there(store, container):
    for method, path, code in (
        ("GET", "/nowhere/k", "ContainerNotFound"),
        ("HEAD", "/nowhere?restype=container", "ContainerNotFound"),
        ("GET", "/nowhere?restype=container&comp=list", "ContainerNotFound"),
        ("GET", f"/{container}/k", "BlobNotFound"),
        ("HEAD", f"/{container}/k", "BlobNotFound"),
        ("GET", f"/{container}/k?comp=tags", "BlobNotFound"),
    ):
        assert told(store.raw(method, path)) == (404, code), path
    assert told(store.raw("PUT", "/nowhere/k", b"1", BLOCK_BLOB)) == (404, "ContainerNotFound")
    assert told(store.raw("PUT", block_path("nowhere", "k", "AAAA"), b"1")) == (404, "ContainerNotFound")
    assert store.raw("HEAD", f"/{container}?restype=container").status == 200
    assert told(store.raw("PUT", f"/{container}?restype=container")) == (409, "ContainerAlreadyExists")


def test_headers_that_are_refused(store, container):
    path = f"/{container}/k"
    for headers, code in (
        ({**BLOCK_BLOB, "x-ms-access-tier": "Frozen"}, "InvalidHeaderValue"),
        ({**BLOCK_BLOB, "x-ms-meta-a-b": "1"}, "InvalidMetadata"),
        ({**BLOCK_BLOB, "x-ms-version": "2024-01-01"}, "InvalidHeaderValue"),
    ):
        assert told(store.raw("PUT", path, b"1", headers)) == (400, code), headers
    assert store.raw("PUT", path, b"1").status == 400  # without x-ms-blob-type
    assert store.raw("PUT", path, b"1", {**BLOCK_BLOB, "Content-MD5": md5(b"2")}).status == 400
    assert store.raw("HEAD", path).status == 404


def test_archived(store, container):
    client = store.client()
    client.put(container, "k", b"cold", tier="Archive")
    assert client.head(container, "k")["accessTier"] == "Archive"
    refused(409, "BlobArchived", client.get, container, "k")
    client.put(container, "m", b"warm")
    assert client.head(container, "m")["accessTierInferred"] is True
    client.blob(container, "m").setAccessTier("Cold")
    assert client.head(container, "m")["accessTier"] == "Cold"


def test_signatures(store, container):
    client = store.client()
    client.put(container, "a b", b"hello")
    for signature in (store.sas(), store.sas(container=container), store.sas(container=container, name="a b")):
        assert store.client(sas=signature).get(container, "a b") == b"hello"
        assert store.raw("GET", f"/{container}/a%20b", query=signature).body == b"hello"
    reading = store.sas("r", container=container)
    for method, path in (("DELETE", f"/{container}/a%20b"), ("PUT", block_path(container, "k", "AAAA"))):
        body = b"1" if method == "PUT" else b""
        assert told(store.raw(method, path, body, query=reading)) == (403, "AuthorizationPermissionMismatch")
    assert store.raw("GET", f"/{container}?restype=container&comp=list", query=reading).status == 403
    writing = store.sas("w", container=container)
    assert store.raw("PUT", f"/{container}/new", b"1", BLOCK_BLOB, query=writing).status == 201
    assert store.raw("GET", f"/{container}/new", query=writing).status == 403
    late, early = store.sas(container=container, seconds=-60), store.sas(container=container, startsOn=in_seconds(3600))
    for signature in (late, early, store.sas("r", container="elsewhere"), reading.replace("sp=r", "sp=rw")):
        assert store.raw("GET", f"/{container}/a%20b", query=signature).status == 403


def test_wrong_key(store, container):
    assert store.raw("GET", f"/{container}?restype=container&comp=list").status == 200
    for answer in (
        store.raw("GET", f"/{container}?restype=container&comp=list", key=OTHER_KEY),
        store.raw("PUT", f"/{container}/k", b"1", BLOCK_BLOB, key=OTHER_KEY),
        store.raw("GET", f"/{container}?restype=container&comp=list", signed=False),
    ):
        assert answer.status in (401, 403) and answer.told and answer.headers["x-ms-request-id"]


def test_host_style(store, container):
    """The account in the host's name: it is then but once in what is signed."""
    store.client().put(container, "k", b"hello")
    named = AzureEndpoint(store.root_url, store.account, store.key, store.ca_file)
    host = store.host_url.partition("://")[2]
    assert named.raw("GET", f"/{container}/k", headers={"host": host}).body == b"hello"


# -- what Azurite can't tell


def test_digests(server, fake):
    body, path = b"123456789", "/container/k"
    for given, wrong, malformed in (
        ({"Content-MD5": md5(body)}, "Md5Mismatch", "InvalidMd5"),
        ({"x-ms-content-crc64": CRC64}, "Crc64Mismatch", "InvalidHeaderValue"),
    ):
        for target, extra in ((path, BLOCK_BLOB), (block_path("container", "k", "AAAA"), {})):
            answer = fake.raw("PUT", target, body, {**extra, **given})
            assert told(answer) == (201, None)
            assert all(answer.headers[name] == value for name, value in given.items())
            assert told(fake.raw("PUT", target, b"x" + body, {**extra, **given})) == (400, wrong)
            bad = {name: "AAAA" for name in given}
            assert told(fake.raw("PUT", target, body, {**extra, **bad})) == (400, malformed)
    both = {**BLOCK_BLOB, "Content-MD5": md5(body), "x-ms-content-crc64": CRC64}
    assert told(fake.raw("PUT", path, body, both)) == (400, "InvalidInput")
    listed = block_list("AAAA")
    target = "/container/k?comp=blocklist"
    assert told(fake.raw("PUT", target, listed, {"Content-MD5": md5(b"")})) == (400, "Md5Mismatch")
    claimed = {"Content-MD5": md5(listed), "x-ms-blob-content-md5": md5(b"another")}  # stored, not verified
    assert told(fake.raw("PUT", target, listed, claimed)) == (201, None)
    assert fake.raw("HEAD", path).headers["Content-MD5"] == md5(b"another")


def test_clock(server, fake):
    path = "/container?restype=container&comp=list"
    for offset, status in ((-16 * 60, 403), (-14 * 60, 200), (14 * 60, 200), (16 * 60, 403)):
        assert fake.raw("GET", path, now=time.time() + offset).status == status, offset
    server.change(clock_offset=3600)
    answer = fake.raw("GET", path)
    assert told(answer) == (403, "AuthenticationFailed") and b"too old" in answer.body
    assert told(fake.raw("GET", path, headers={"x-ms-date": None})) == (403, "AuthenticationFailed")
    date = formatdate(time.time() + 3600, usegmt=True)
    assert fake.raw("GET", path, headers={"x-ms-date": None, "Date": date}).status == 200


def test_tampering(server, fake):
    """Everything that is signed counts."""
    url = f"{fake.url}/container/k?comp=tier"
    signed = sign("PUT", url, fake.account, fake.key, b"", {"x-ms-access-tier": "Hot", "Content-Type": "a/b"})
    fake.client().put("container", "k", b"1")
    for change in ({"x-ms-access-tier": "Cool"}, {"content-type": "a/c"}, {"if-match": "*"}, {"x-ms-new": "1"}):
        assert send("PUT", url, {**signed, **change}).headers["x-ms-error-code"] == "AuthenticationFailed", change
    assert send("PUT", url + "&a=b", signed).status == 403
    assert send("PUT", url.replace("/k?", "/l?"), signed).status == 403
    assert send("PUT", url, signed).status == 200
    answer = send("PUT", url + "&a=b", signed)  # the string to sign is told, as Azure does
    assert b"x-ms-access-tier:Hot" in answer.body and answer.body.startswith(b"\xef\xbb\xbf<?xml")


def test_bearer_tokens(server, fake, fake_tls):
    names = fake_tls.client(token="fake-token").names
    assert names("container") == []
    server.change(tokens=[
        {"token": "old", "until": time.time() - 1},
        {"token": "foreign", "audience": "https://management.azure.com/"},
        {"token": "reader", "permissions": "rl"},
    ])  # fmt: skip
    for token in ("fake-token", "old", "foreign"):
        answer = fake_tls.raw("GET", "/container/k", signed=False, headers={"Authorization": f"Bearer {token}"})
        assert told(answer) == (401, "InvalidAuthenticationInfo")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")
    reader = {"Authorization": "Bearer reader"}
    assert told(fake_tls.raw("GET", "/container/k", signed=False, headers=reader)) == (404, "BlobNotFound")
    answer = fake_tls.raw("PUT", "/container/k", b"1", {**BLOCK_BLOB, **reader}, signed=False)
    assert told(answer) == (403, "AuthorizationPermissionMismatch")
    answer = fake_tls.raw("GET", "/container/k", signed=False, headers=reader, version="2017-07-29")
    assert told(answer) == (400, "InvalidAuthenticationInfo")
    assert fake.raw("GET", "/container/k", signed=False, headers=reader).status == 400  # not over http
    server.change(bearer_over_http=True)
    assert fake.raw("GET", "/container/k", signed=False, headers=reader).status == 404
    told_of = [entry for entry in server.log() if entry.get("authority") == "bearer"]
    assert told_of and not any("reader" in str(entry["headers"]) for entry in told_of)


def test_credentials_expire(server, fake, fake_tls):
    server.rule("expire_credentials", {"operation": "PutBlob", "nth": 3})
    told_of = [fake.raw("PUT", "/container/k", b"1", BLOCK_BLOB).told for _ in range(4)]
    assert told_of == [None, None, "AuthenticationFailed", "AuthenticationFailed"]
    server.control("POST", "/credentials", {"unexpire": [fake.account], "expire": ["fake-token"]})
    assert fake.raw("GET", "/container/k").status == 200
    bearer = {"Authorization": "Bearer fake-token"}
    answer = fake_tls.raw("GET", "/container/k", signed=False, headers=bearer)
    assert told(answer) == (401, "InvalidAuthenticationInfo")


def test_signatures_scope(server, fake, fake_tls):
    client = fake.client()
    client.put("container", "k", b"1")
    path, listing = "/container/k", "/container?restype=container&comp=list"
    assert told(fake.raw("GET", path, query=fake.sas(resourceTypes="c"))) == (403, "AuthorizationResourceTypeMismatch")
    assert fake.raw("GET", listing, query=fake.sas(resourceTypes="c")).status == 200
    assert told(fake.raw("GET", listing, query=fake.sas(container="container", name="k")))[0] == 403
    only_tls = fake.sas(container="container", protocol="https")
    assert told(fake.raw("GET", path, query=only_tls)) == (403, "AuthorizationProtocolMismatch")
    assert fake_tls.raw("GET", path, query=only_tls).status == 200
    creating = fake.sas("c", container="container")
    assert told(fake.raw("PUT", "/container/new", b"1", BLOCK_BLOB, query=creating)) == (201, None)
    assert told(fake.raw("PUT", path, b"1", BLOCK_BLOB, query=creating)) == (403, "UnauthorizedBlobOverwrite")
    tagged = {**BLOCK_BLOB, "x-ms-tags": "a=b"}
    assert fake.raw("PUT", path, b"1", tagged, query=fake.sas("cw", container="container")).status == 403
    assert fake.raw("PUT", path, b"1", tagged, query=fake.sas("cwt", container="container")).status == 201


def test_immutability(server, fake):
    client = fake.client()
    until = in_seconds(3600)
    policy = {"expiriesOn": until, "policyMode": "Unlocked"}
    client.put("immutable", "kept", b"1", immutabilityPolicy=policy)
    refused(409, "BlobImmutableDueToPolicy", client.delete, "immutable", "kept")
    refused(409, "BlobImmutableDueToPolicy", client.put, "immutable", "kept", b"2")
    found = client.head("immutable", "kept")
    assert found["immutabilityPolicyMode"] == "unlocked" and abs(found["immutabilityPolicyExpiresOn"] - until).seconds < 2
    client.blob("immutable", "kept").deleteImmutabilityPolicy()
    client.delete("immutable", "kept")
    client.put("immutable", "held", b"1", legalHold=True)
    refused(409, "BlobImmutableDueToLegalHold", client.delete, "immutable", "held")
    client.blob("immutable", "held").setLegalHold(False)
    client.blob("immutable", "held").setImmutabilityPolicy({"expiriesOn": until, "policyMode": "Locked"})
    refused(409, "BlobImmutableDueToPolicy", client.blob("immutable", "held").deleteImmutabilityPolicy)
    server.change(clock_offset=3700)
    late = time.time() + 3700
    assert fake.raw("DELETE", "/immutable/held", now=late).status == 202  # its time is over
    server.change(clock_offset=0)
    refused(409, "ImmutableStorageNotEnabled", lambda: client.put("container", "k", b"1", legalHold=True))


def test_customer_keys(server, fake, fake_tls):
    def key(letter):
        raw = letter * 32
        return {"customerProvidedKey": {"encryptionKey": base64.b64encode(raw).decode(),
                                        "encryptionKeySha256": base64.b64encode(hashlib.sha256(raw).digest()).decode(),
                                        "encryptionAlgorithm": "AES256"}}  # fmt: skip

    one, other = key(b"1"), key(b"2")
    client, blob = fake_tls.client(), fake_tls.client().blob("container", "k")
    client.put("container", "k", b"secret", **one)
    refused(409, "BlobUsesCustomerSpecifiedEncryption", client.get, "container", "k")
    refused(409, "BlobCustomerSpecifiedEncryptionMismatch", lambda: blob.read(0, 6, other))
    assert blob.read(0, 6, one)["body"] == b"secret"
    assert blob.getProperties(one)["encryptionKeySha256"] == one["customerProvidedKey"]["encryptionKeySha256"]
    blob.stageBlock("AAAA", b"1", 1, one)
    refused(409, "BlobCustomerSpecifiedEncryptionMismatch", lambda: blob.stageBlock("AAAB", b"1", 1, other))
    refused(409, "BlobUsesCustomerSpecifiedEncryption", lambda: blob.commitBlockList(["AAAA"]))
    blob.commitBlockList(["AAAA"], one)
    plain = {"x-ms-encryption-key": "x", "x-ms-encryption-key-sha256": "y", "x-ms-encryption-algorithm": "AES256"}
    assert fake.raw("PUT", "/container/k", b"1", {**BLOCK_BLOB, **plain}).status == 400  # not over http
    assert fake_tls.raw("PUT", "/container/k", b"1", {**BLOCK_BLOB, **plain}).status == 400
    assert one["customerProvidedKey"]["encryptionKey"] not in str(server.log())


def test_limits(server, fake):
    server.change(max_committed_blocks=3, max_uncommitted_blocks=4, max_put_size=10, max_block_size=5)
    ids = [block_id(str(n)) for n in range(5)]
    told_of = [told(fake.raw("PUT", block_path("container", "k", id), b"1")) for id in ids]
    assert told_of == [(201, None)] * 4 + [(409, "BlockCountExceedsLimit")]
    assert fake.raw("PUT", block_path("container", "k", ids[0]), b"12345").status == 201  # in place of another
    target = "/container/k?comp=blocklist"
    assert told(fake.raw("PUT", target, block_list(*ids[:4]))) == (400, "BlockListTooLong")
    assert told(fake.raw("PUT", target, block_list(*ids[:3]))) == (201, None)
    assert fake.raw("GET", "/container/k").body == b"1234511"
    big = fake.raw("PUT", block_path("container", "k", ids[0]), b"123456")
    assert told(big) == (413, "RequestBodyTooLarge")
    assert told(fake.raw("PUT", "/container/k", b"x" * 11, BLOCK_BLOB)) == (413, "RequestBodyTooLarge")
    assert told(fake.raw("PUT", block_path("container", "k", ids[0]))) == (400, "InvalidHeaderValue")  # empty
    assert told(fake.raw("PUT", target, b"<BlockList><Latest>")) == (400, "InvalidXmlDocument")


def test_uncommitted_blocks_go(server, fake):
    blob, body = fake.client().blob("container", "k"), os.urandom(MIB)
    blob.stageBlock("AAAA", body, MIB)
    assert server.uncommitted() == {"k": ["AAAA"]} and server.state()["bytes_held"] == MIB
    fake.client().put("container", "k", b"whole")  # Put Blob drops them
    assert server.uncommitted() == {} and server.state()["bytes_held"] == 5
    refused(400, "InvalidBlockList", blob.commitBlockList, ["AAAA"])
    blob.stageBlock("AAAA", body, MIB)
    blob.stageBlock("AAAB", body, MIB)
    blob.commitBlockList(["AAAB"])
    assert server.state()["bytes_held"] == MIB
    assert [b["id"] for b in server.objects()["k"]["blocks"]] == ["AAAB"]
    blob.stageBlock("AAAC", body, MIB)
    refused(404, "BlobNotFound", fake.client().delete, "container", "other")
    fake.client().delete("container", "k")
    assert server.state()["bytes_held"] == 0


def test_versions_are_kept(server, fake):
    client = fake.client()
    for body in (b"one", b"two"):
        client.put("versioned", "k", body)
    client.delete("versioned", "k")
    older = server.state()["older_versions"]
    assert [o["sha256"] for o in older] == [hashlib.sha256(body).hexdigest() for body in (b"one", b"two")]
    assert server.objects("versioned") == {} and server.state()["bytes_held"] == 6


def test_exists_may_be_412(server, fake):
    server.change(exists_status=412)
    create = {**BLOCK_BLOB, "If-None-Match": "*"}
    assert told(fake.raw("PUT", "/container/k", b"1", create)) == (201, None)
    assert told(fake.raw("PUT", "/container/k", b"1", create)) == (412, "ConditionNotMet")


# -- faults


def test_rules(server, fake):
    busy = {"type": "respond", "code": "ServerBusy", "headers": {"Retry-After": "1"}}
    rule = server.rule(busy, {"operation": "PutBlock", "key": "^a", "nth": 2})
    answers = [fake.raw("PUT", block_path("container", key, "AAAA"), b"1") for key in ("a", "b", "a", "a")]
    assert [told(a) for a in answers] == [(201, None), (201, None), (503, "ServerBusy"), (201, None)]
    assert answers[2].headers["Retry-After"] == "1"
    entry = next(e for e in server.log("PutBlock") if e["status"] == 503)
    assert (entry["code"], entry["rule"], entry["part"]) == ("ServerBusy", rule, "AAAA")
    server.rule("drop_answer", {"operation": "PutBlockList"})
    with pytest.raises(OSError):
        fake.raw("PUT", "/container/a?comp=blocklist", block_list("AAAA"))
    assert server.objects()["a"]["size"] == 1  # done, though nobody was told
    server.rule({"type": "alter", "headers": {"x-ms-request-id": None}}, {"operation": "GetBlobProperties"})
    assert fake.raw("HEAD", "/container/a").headers["x-ms-request-id"] is None


def test_errors_are_held_as_well(server, fake):
    server.rule("hold", {"operation": "GetBlobProperties"})
    url = f"{fake.url}/container/k"
    with connect(url) as sock:
        sock.sendall(request_bytes("HEAD", url, sign("HEAD", url, fake.account, fake.key)))
        server.wait_holding()
        assert server.last("GetBlobProperties")["ended"] is None
        server.release()
        assert read_answer(sock, "HEAD").status == 404


@pytest.mark.parametrize("reset", [False, True])
def test_cut_in_mid_body(server, fake, reset, wait_for):
    server.rule({"type": "close_request", "bytes": 300_000, "reset": reset}, {"operation": "PutBlob"})
    with pytest.raises(OSError):
        fake.raw("PUT", "/container/k", os.urandom(8 * MIB), BLOCK_BLOB)
    wait_for(lambda: server.last("PutBlob").get("ended") == ("reset" if reset else "closed on purpose"))
    assert server.last("PutBlob")["request_bytes"] == 300_000
    wait_for(lambda: server.state()["bytes_held"] == 0)


def test_secrets_stay_out_of_the_log(server, fake):
    fake.client().put("container", "k", b"1")
    signature = fake.sas(container="container")
    fake.client(sas=signature).get("container", "k")
    kept = str(server.log())
    assert signature.rpartition("sig=")[2] not in kept and "SharedKey fakeaccount:..." in kept
    assert {e["authority"] for e in server.log()} == {"SharedKey", "sas"}
    assert fake.key not in str(server.state()) and fake.key not in str(server.control("GET", "/settings"))


def test_unreachable_store_is_told(fake):
    """The harness says what happened when no answer came at all."""
    gone = azure_sdk.client("http://127.0.0.1:9/fakeaccount", fake.account, fake.key)
    with pytest.raises(AzureError) as e:
        gone.names("container")
    assert e.value.status is None
