"""The harness' Azure store (harness/azurite.py): it refuses what is signed wrongly, its block blobs are those of Azure,
and where it differs it does so as harness/README.md says."""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys

import pytest

from fakes.shared_key import sign
from harness import azure_sdk
from harness.azure_sdk import AzureError
from harness.azurite import OTHER_ACCOUNT, OTHER_KEY
from harness.processes import children, command_of
from harness.raw_http import send

_numbers = iter(range(1, 1 << 30))


@pytest.fixture(params=["http", "https"])
def store(request):
    return request.getfixturevalue("azurite" if request.param == "http" else "azurite_tls")


@pytest.fixture
def container(store):
    return store.container(f"of-azurite-{next(_numbers)}")


def status_and_code(call, *arguments):
    with pytest.raises(AzureError) as e:
        call(*arguments)
    return e.value.status, e.value.code


def raw(store, *arguments, **options):
    answer = store.raw(*arguments, **options)
    return answer.status, answer.told, answer


def block_id(text):
    return base64.b64encode(text.encode()).decode()


def md5(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def test_every_kind_of_credential(store, container):
    client = store.client()
    client.put(container, "a/b ü+%.gz", b"hello", metadata={"fence": "7"})
    assert client.get(container, "a/b ü+%.gz") == b"hello"
    assert client.head(container, "a/b ü+%.gz")["metadata"] == {"fence": "7"}
    assert client.sha256(container, "a/b ü+%.gz") == (hashlib.sha256(b"hello").hexdigest(), 5)
    signatures = [store.sas(), store.sas(container=container), store.sas(container=container, name="a/b ü+%.gz")]
    for signature in signatures:
        assert store.client(sas=signature).get(container, "a/b ü+%.gz") == b"hello"
    assert store.client(connection_string=store.connection_string).names(container) == ["a/b ü+%.gz"]
    other = azure_sdk.client(store.other_url, OTHER_ACCOUNT, OTHER_KEY, ca_file=store.ca_file)
    assert status_and_code(other.get, container, "a/b ü+%.gz") == (404, "ContainerNotFound")


def test_credentials_are_verified(store, container):
    client = store.client()
    client.put(container, "k", b"hello")
    wrong = (400, "InvalidAuthenticationInfo") if store.tls else (403, "AuthorizationFailure")
    assert status_and_code(store.client(account=store.account, key=OTHER_KEY).get, container, "k") == wrong
    signature = store.sas(container=container, permissions="r")
    assert status_and_code(store.client(sas=signature).delete, container, "k")[0] == 403
    assert status_and_code(store.client(sas=store.sas(seconds=-60)).get, container, "k")[0] in (400, 403)
    assert status_and_code(store.client(sas=signature[:-8] + "AAAAA%3D").get, container, "k")[0] in (400, 403)


def test_our_signer_for_raw_requests(store, container):
    assert raw(store, "PUT", f"/{container}/raw%20key", b"raw", {"x-ms-blob-type": "BlockBlob"})[0] == 201
    assert raw(store, "GET", f"/{container}/raw%20key")[2].body == b"raw"
    assert raw(store, "GET", f"/{container}?restype=container&comp=list&prefix=raw%20")[0] == 200
    by_host = f"{store.host_url}/{container}/raw%20key"
    signed = sign("GET", by_host, store.account, store.key)
    found = send("GET", f"{store.root_url}/{container}/raw%20key", signed, b"", store.ca_file)
    assert (found.status, found.body) == (200, b"raw")


def test_bodies_are_verified(store, container):
    path, block = f"/{container}/checked", {"x-ms-blob-type": "BlockBlob"}
    assert raw(store, "PUT", path, b"hello", {**block, "Content-MD5": md5(b"hello")})[0] == 201
    wrong = (400, "InvalidOperation")  # Azure: Md5Mismatch
    assert raw(store, "PUT", path, b"hello", {**block, "Content-MD5": md5(b"other")})[:2] == wrong
    one = f"{path}?comp=block&blockid={block_id('0').replace('=', '%3D')}"
    assert raw(store, "PUT", one, b"hello", {"Content-MD5": md5(b"other")})[:2] == wrong
    assert store.client().get(container, "checked") == b"hello"


def test_blocks(store, container):
    blob = store.client().blob(container, "large")
    ids = [block_id(f"{n:05}") for n in range(3)]
    for each in reversed(ids):
        blob.stageBlock(each, each.encode(), len(each))
    listed = blob.getBlockList("uncommitted")["uncommittedBlocks"]
    assert sorted(b["name"] for b in listed) == ids
    assert store.client().names(container) == []
    assert store.client().names(container, includeUncommitedBlobs=True) == ["large"]
    blob.commitBlockList(ids, {"conditions": {"ifNoneMatch": "*"}, "metadata": {"sha256": "x"}})
    assert store.client().get(container, "large") == "".join(ids).encode()
    assert status_and_code(blob.commitBlockList, ids, {"conditions": {"ifNoneMatch": "*"}}) == (409, "BlobAlreadyExists")
    assert status_and_code(blob.commitBlockList, [block_id("99999")]) == (400, "InvalidBlockList")


def test_what_differs_from_azure(azurite):
    container, block = azurite.container(f"of-azurite-{next(_numbers)}"), {"x-ms-blob-type": "BlockBlob"}
    path = f"/{container}/k"
    assert raw(azurite, "PUT", path, b"1", {**block, "x-ms-content-crc64": "AAAA"})[:2] == (500, "FeatureNotSupported")
    assert raw(azurite, "PUT", path, b"1", {**block, "x-ms-encryption-key": "AAAA"})[:2] == (500, "FeatureNotSupported")
    assert raw(azurite, "PUT", path, b"1", {**block, "x-ms-legal-hold": "true"})[0] == 201
    assert raw(azurite, "PUT", f"{path}?comp=legalhold", b"", {"x-ms-legal-hold": "true"})[0] == 501
    assert raw(azurite, "DELETE", path)[0] == 202
    assert raw(azurite, "GET", path, now=0)[:2] == (404, "BlobNotFound")  # no skew is too large
    assert "x-ms-version" not in raw(azurite, "GET", path)[2].headers
    assert raw(azurite, "GET", path, version="2099-01-01")[:2] == (400, "InvalidHeaderValue")


def test_tokens_are_not_verified(azurite_tls):
    """Any that look right are good: a forged one gets in."""
    claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/x/", "nbf": 0, "exp": 1 << 32}
    token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
                     for part in ({"alg": "RS256", "typ": "JWT"}, {**claims, "iat": 0}, "forged"))  # fmt: skip
    container = azurite_tls.container(f"of-azurite-{next(_numbers)}")
    assert azurite_tls.client(token=token).names(container) == []
    assert status_and_code(azurite_tls.client(token="x.y.z").names, container)[0] in (400, 401, 403)


def test_dies_with_its_owner(tmp):
    """Also when the test run is killed: a second one, in a process that is."""
    script = (
        "import sys; from harness.azurite import Azurite; "
        "print(Azurite(sys.argv[1]).start().url, flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", script, os.path.join(tmp, "azurite")]
    owner = subprocess.Popen(
        argv, cwd=os.path.dirname(os.path.dirname(__file__)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdout.readline().startswith(b"http://127.0.0.1:")
    daemons = children(owner.pid)
    assert ["azurite" in command_of(pid) for pid in daemons] == [True]
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()
    assert os.waitpid(daemons[0], 0)[1] == signal.SIGKILL  # ours now: the test run reaps orphans
