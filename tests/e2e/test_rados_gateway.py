"""The harness' S3 store (harness/rados_gateway.py): it refuses what is signed wrongly, its multipart uploads and lists
are those of S3, and where it differs from AWS it does so as harness/README.md says."""

import base64
import hashlib
import os
import signal
import subprocess
import sys

import pytest
from botocore.exceptions import ClientError

from harness import boto
from harness.boto import add_headers, signed
from harness.processes import children, command_of
from harness.rados_gateway import KMS_KEY, USERS
from harness.raw_http import send

MIB = 1 << 20
pytestmark = pytest.mark.usefixtures("no_aws_settings")


_numbers = iter(range(1, 1 << 30))


@pytest.fixture
def bucket(gateway):
    return gateway.bucket(f"bucket-{next(_numbers)}")


def status_and_code(call, **arguments):
    with pytest.raises(ClientError) as e:
        call(**arguments)
    answer = e.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def md5(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def raw(gateway, method, path, body=b"", headers=(), **options):
    url = gateway.http + path
    return send(method, url, signed(method, url, *gateway.keys["s3"], body, headers, **options), body)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("tls", [False, True])
def test_users(gateway, user, tls):
    s3 = gateway.client(user, tls)
    name = gateway.bucket(f"of-{user}-{tls}".lower(), user)
    s3.put_object(Bucket=name, Key="k", Body=b"hello", Metadata={"fence": "7"})
    found = s3.get_object(Bucket=name, Key="k")
    assert (found["Body"].read(), found["Metadata"]) == (b"hello", {"fence": "7"})
    other = gateway.client(next(u for u in USERS if u != user), tls)
    assert status_and_code(other.get_object, Bucket=name, Key="k") == (403, "AccessDenied")


@pytest.mark.parametrize("tls", [False, True])
def test_signatures_are_verified(gateway, bucket, tls):
    url, (access_key, secret_key) = (gateway.https if tls else gateway.http), gateway.keys["s3"]
    put = {"Bucket": bucket, "Key": "k", "Body": b"1"}
    wrong = boto.client("s3", url, access_key, secret_key + "x", ca_file=gateway.ca_file)
    assert status_and_code(wrong.put_object, **put) == (403, "SignatureDoesNotMatch")
    unknown = boto.client("s3", url, "NOBODY", secret_key, ca_file=gateway.ca_file)
    assert status_and_code(unknown.put_object, **put) == (403, "InvalidAccessKeyId")
    assert "Contents" not in gateway.client().list_objects_v2(Bucket=bucket)


def test_bodies_are_verified(gateway, bucket):
    other = hashlib.sha256(b"other").hexdigest()
    assert raw(gateway, "PUT", f"/{bucket}/k", b"1", payload=other).code == "XAmzContentSHA256Mismatch"
    assert raw(gateway, "PUT", f"/{bucket}/k", b"1", {"Content-MD5": md5(b"other")}).code == "BadDigest"
    assert raw(gateway, "HEAD", f"/{bucket}/k").status == 404


def test_multipart(gateway, bucket):
    s3 = gateway.client()
    upload = {"Bucket": bucket, "Key": "db/one"}
    upload["UploadId"] = s3.create_multipart_upload(**upload, Metadata={"sha256": "abc"})["UploadId"]
    bodies, parts = [os.urandom(5 * MIB), os.urandom(7 * MIB), b"end"], []
    for number, body in enumerate(bodies, 1):
        assert status_and_code(s3.upload_part, **upload, PartNumber=number, Body=body, ContentMD5=md5(b"")) == (
            400,
            "BadDigest",
        )
        etag = s3.upload_part(**upload, PartNumber=number, Body=body, ContentMD5=md5(body))["ETag"]
        assert etag == f'"{hashlib.md5(body).hexdigest()}"'
        parts.append({"PartNumber": number, "ETag": etag})
    pages = list(s3.get_paginator("list_parts").paginate(**upload, PaginationConfig={"PageSize": 2}))
    assert [(p["PartNumber"], p["Size"], p["ETag"]) for page in pages for p in page["Parts"]] == [
        (n, len(b), p["ETag"]) for n, (b, p) in enumerate(zip(bodies, parts), 1)
    ]
    assert len(pages) == 2
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    head = s3.head_object(Bucket=bucket, Key="db/one")
    md5s = b"".join(hashlib.md5(body).digest() for body in bodies)
    assert head["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-3"'
    assert (head["ContentLength"], head["Metadata"]) == (12 * MIB + 3, {"sha256": "abc"})
    assert s3.get_object(Bucket=bucket, Key="db/one")["Body"].read() == b"".join(bodies)


def test_uploads_are_listed(gateway, bucket):
    s3 = gateway.client()
    ids = [s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in ("a/1", "a/1", "a/2", "b/1")]
    paginator = s3.get_paginator("list_multipart_uploads")

    def listed(prefix):
        pages = paginator.paginate(Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": 1})
        return sorted(u["UploadId"] for page in pages for u in page.get("Uploads", ()))

    assert (listed(""), listed("a/"), listed("c")) == (sorted(ids), sorted(ids[:3]), [])
    s3.abort_multipart_upload(Bucket=bucket, Key="a/1", UploadId=ids[0])
    assert listed("a/") == sorted(ids[1:3])
    assert status_and_code(s3.list_parts, Bucket=bucket, Key="a/1", UploadId=ids[0]) == (404, "NoSuchKey")


def test_what_differs_from_aws(gateway, bucket):
    """harness/README.md lists these for whoever writes the driver; should a new version of the gateway change one,
    the list is to be changed."""
    s3 = gateway.client()
    upload = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**upload, Body=b"before")
    begun = add_headers(
        gateway.client(), "CreateMultipartUpload", x_amz_checksum_algorithm="SHA256", x_amz_tagging="a=1"
    )
    upload["UploadId"] = begun.create_multipart_upload(**upload)["UploadId"]
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"x", ChecksumSHA256=base64.b64encode(bytes(32)).decode())[
        "ETag"
    ]
    assert s3.upload_part(**upload, PartNumber=10001, Body=b"y")["ETag"], "part numbers have no limit"
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    assert status_and_code(s3.complete_multipart_upload, **upload, MultipartUpload=parts) == (
        400,
        "InvalidPart",
    ), "all or none"
    upload["UploadId"] = begun.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    conditional = add_headers(gateway.client(), "CompleteMultipartUpload", If_None_Match="*")
    done = conditional.complete_multipart_upload(**upload, MultipartUpload=parts)
    assert done["ETag"] == "", "no ETag in the answer of Complete"
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentLength"] == 1, "If-None-Match is ignored by Complete"
    assert not s3.get_object_tagging(Bucket=bucket, Key="k").get("TagSet"), "tags of multipart uploads are lost"
    again = s3.complete_multipart_upload(**upload, MultipartUpload=parts)
    assert again["ETag"] == head["ETag"].strip(
        '"'
    ), "answered when the object is what the parts make, whatever the upload id"
    upload |= {"UploadId": "2~never-begun", "Key": "other"}
    assert status_and_code(s3.complete_multipart_upload, **upload, MultipartUpload=parts) == (500, "InternalError")
    put = add_headers(gateway.client(), "PutObject", If_None_Match="*")
    assert status_and_code(put.put_object, Bucket=bucket, Key="k", Body=b"2") == (412, "PreconditionFailed")
    assert raw(gateway, "PUT", f"/{bucket}/k", b"1", region="nowhere-1").status == 200
    assert raw(gateway, "PUT", f"/{bucket}/k", b"1", {"x-amz-storage-class": "STANDARD_IA"}).code == "InvalidArgument"


def test_encryption(gateway, bucket):
    s3, plain = gateway.client(tls=True), gateway.client()
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": os.urandom(32)}
    s3.put_object(Bucket=bucket, Key="c", Body=b"1", **key)
    assert s3.get_object(Bucket=bucket, Key="c", **key)["Body"].read() == b"1"
    assert status_and_code(s3.head_object, Bucket=bucket, Key="c") == (400, "400")
    raw_key = {
        f"x-amz-server-side-encryption-customer-{n}": v
        for n, v in (
            ("algorithm", "AES256"),
            ("key", base64.b64encode(bytes(32)).decode()),
            ("key-MD5", md5(bytes(32))),
        )
    }
    assert raw(gateway, "PUT", f"/{bucket}/d", b"1", raw_key).code == "InvalidRequest"
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", ServerSideEncryption="aws:kms", SSEKMSKeyId=KMS_KEY)
    assert s3.head_object(Bucket=bucket, Key="k")["SSEKMSKeyId"] == KMS_KEY
    assert status_and_code(plain.head_object, Bucket=bucket, Key="k") == (400, "400")


def test_object_lock(gateway):
    name = gateway.bucket("locked", ObjectLockEnabledForBucket=True)
    s3 = gateway.client()
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": "2099-01-01T00:00:00Z"}
    version = s3.put_object(Bucket=name, Key="k", Body=b"1", **lock)["VersionId"]
    assert s3.head_object(Bucket=name, Key="k")["ObjectLockMode"] == "COMPLIANCE"
    assert status_and_code(s3.delete_object, Bucket=name, Key="k", VersionId=version) == (403, "AccessDenied")


def test_dies_with_its_owner(tmp, wait_for):
    """Also when the test run is killed: a second gateway, in a process that is."""
    script = (
        "import os, sys; from harness.rados_gateway import RadosGateway; "
        "print(RadosGateway(sys.argv[1]).start().http, flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", script, os.path.join(tmp, "rgw")]
    owner = subprocess.Popen(
        argv, cwd=os.path.dirname(os.path.dirname(__file__)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdout.readline().startswith(b"http://127.0.0.1:")
    daemons = children(owner.pid)
    assert sorted(os.path.basename(command_of(pid).split()[0]) for pid in daemons) == [
        "ceph-mon",
        "ceph-osd",
        "radosgw",
    ]
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()
    for pid in daemons:  # ours now: the test run reaps orphans
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
