"""The four storage types of the S3 driver at a server written by others that checks signatures, Ceph's RADOS gateway, as
four users; what was written is read back by a client that isn't ours."""

import hashlib
import json
import os

import pytest

from harness.api import assert_downloads
from harness.rados_gateway import KMS_KEY
from harness.waiting import wait_for

MIB = 1 << 20
pytestmark = pytest.mark.usefixtures("no_aws_settings")
TYPES = ("s3", "minio", "spaces", "backblaze")


_numbers = iter(range(1, 1 << 30))


@pytest.fixture
def place(bm, gateway):
    """place(type, tls): a new bucket of that type's user, as a destination named like the type"""

    def make(type, tls=False, name=None, **config):
        bucket = gateway.bucket(f"bm-{os.getpid()}-{next(_numbers)}", type)
        access_key, secret_key = gateway.keys[type]
        path = os.path.join(bm.tmp, f"{bucket}.secret")
        with open(path, "w", opener=lambda p, f: os.open(p, f, 0o644)) as f:
            json.dump({"access_key_id": access_key, "secret_access_key": secret_key}, f)
        settings = {"bucket": bucket, "region": "us-east-1", "endpoint": gateway.https if tls else gateway.http, **config}
        if tls:
            settings["ca_file"] = gateway.ca_file
        bm.ctl("destination", "add", name or type, "--type", type, "--credentials-ref", f"file:{path}",
               "--config", json.dumps(settings))  # fmt: skip
        return bucket

    return make


def source(bm, size):
    return bm.file_database("data", bm.random_file("source", size))


def read_back(gateway, row, bucket):
    body = gateway.client(row["storage_type"]).get_object(Bucket=bucket, Key=row["file_path"])["Body"]
    digest = hashlib.sha256()
    while block := body.read(MIB):
        digest.update(block)
    return digest.hexdigest()


def open_uploads(gateway, type, bucket):
    return gateway.client(type).list_multipart_uploads(Bucket=bucket).get("Uploads", [])


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("size", [1000, 40 * MIB])
def test_one_backup_to_all_four(bm, gateway, place, tls, size):
    buckets = {type: place(type, tls, part_size="5MiB") for type in TYPES}
    database = source(bm, size)
    bm.assign(database, *TYPES)
    backup = bm.run(database)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    for row in bm.rows(backup):
        bucket = buckets[row["storage_type"]]
        assert row["attempts"] == 1, row
        assert read_back(gateway, row, bucket) == row["checksum"] == bm.backup(backup)["artifact_sha256"]
        head = gateway.client(row["storage_type"]).head_object(Bucket=bucket, Key=row["file_path"])
        assert head["Metadata"]["sha256"] == row["checksum"] and head["ContentLength"] == row["file_size"]
        assert not open_uploads(gateway, row["storage_type"], bucket)
    assert bm.ctl("backup", "verify", backup, "--deep").returncode == 0
    assert_downloads(bm, backup)
    for type in TYPES:
        done = bm.ctl("destination", "test", type)
        assert "FAIL" not in done.stdout, done.stdout
    bm.ctl("backup", "delete", backup)
    for type, bucket in buckets.items():
        assert gateway.client(type).list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_the_chain_finds_keys_in_the_environment(bm, gateway, place):
    """No credentials_ref: AWS's variables, and its shared credentials file with a profile."""
    bucket = gateway.bucket(f"bm-{os.getpid()}-{next(_numbers)}", "s3")
    access_key, secret_key = gateway.keys["s3"]
    config = {"bucket": bucket, "region": "us-east-1", "endpoint": gateway.http}
    bm.ctl("destination", "add", "store", "--type", "s3", "--config", json.dumps(config))
    keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    assert "FAIL" not in bm.ctl("destination", "test", "store", env=keys).stdout

    path = os.path.join(bm.tmp, "credentials")
    with open(path, "w", opener=lambda p, f: os.open(p, f, 0o644)) as f:
        f.write(f"[default]\naws_access_key_id = wrong\naws_secret_access_key = wrong\n\n[backup]\n"
                f"aws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n")  # fmt: skip
    profile = {"AWS_SHARED_CREDENTIALS_FILE": path, "AWS_PROFILE": "backup", "AWS_EC2_METADATA_DISABLED": "true"}
    assert "FAIL" not in bm.ctl("destination", "test", "store", env=profile).stdout

    nothing = {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_CONFIG_FILE": "/nowhere", "HOME": bm.tmp,
               "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip
    done = bm.ctl("destination", "test", "store", env=nothing, check=False)
    assert done.returncode == 1 and "credentials" in done.stdout and secret_key not in done.stdout, done.stdout


def test_a_wrong_secret_and_a_bucket_of_someone_else(bm, gateway, place):
    bucket = place("minio")
    foreign = gateway.bucket(f"bm-{os.getpid()}-{next(_numbers)}", "s3")
    access_key, _ = gateway.keys["minio"]
    database = source(bm, 1000)
    bm.assign(database, "minio")
    bm.ctl("destination", "update", "minio", "--config",
           json.dumps({"bucket": foreign, "region": "us-east-1", "endpoint": gateway.http}))  # fmt: skip
    backup = bm.run(database)
    bm.worker(WRONG=f"{access_key}:a-wrong-secret")
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["attempts"] == 1 and row["error_code"] == "denied" and foreign in row["error_message"], row
    bm.ctl("destination", "update", "minio", "--credentials-ref", "env:WRONG", "--config",
           json.dumps({"bucket": bucket, "region": "us-east-1", "endpoint": gateway.http}))  # fmt: skip
    bm.ctl("backup", "retry", backup)
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["error_code"] == "denied" and "403" in row["error_message"], row
    assert "a-wrong-secret" not in json.dumps(bm.rows(backup), default=str)


def test_customer_keys_and_kms(bm, gateway, place):
    """SSE-C and SSE-KMS over TLS, small and in parts; without its key an SSE-C object can't be read."""
    path = os.path.join(bm.tmp, "customer-key")
    import base64

    key = os.urandom(32)
    with open(path, "w", opener=lambda p, f: os.open(p, f, 0o644)) as f:
        f.write(base64.b64encode(key).decode())
    customer = place("s3", True, name="customer", sse="customer", sse_customer_key_ref=f"file:{path}", part_size="5MiB")
    kms = place("s3", True, name="kms", sse="aws:kms", sse_kms_key_id=KMS_KEY, part_size="5MiB")
    for size in (1000, 20 * MIB):
        database = source(bm, size) if size == 1000 else "data"
        if size != 1000:
            bm.random_file("source", size)
        else:
            bm.assign(database, "customer", "kms")
            bm.worker()
        backup = bm.run(database)
        assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
        client = gateway.client("s3", True)
        for row in bm.rows(backup):
            extra = {}
            if row["storage_name"] == "customer":
                extra = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
                with pytest.raises(Exception):
                    client.get_object(Bucket=customer, Key=row["file_path"])
            bucket = customer if extra else kms
            body = client.get_object(Bucket=bucket, Key=row["file_path"], **extra)["Body"].read()
            assert hashlib.sha256(body).hexdigest() == row["checksum"]
        assert bm.ctl("backup", "verify", backup, "--deep").returncode == 0


def test_resume_after_kill(bm, gateway, place):
    """kill -9 somewhere in the parts, twice: the copy becomes whole, and no upload stays open."""
    bucket = place("minio", part_size="5MiB", parallel_parts=2)
    bm.ctl("destination", "update", "minio", "--bandwidth-limit", 6 * MIB)  # so slow that the test sees it under way
    database = source(bm, 60 * MIB)
    bm.assign(database, "minio")
    backup = bm.run(database)

    def parts():
        uploads = open_uploads(gateway, "minio", bucket)
        if not uploads:
            return 0
        found = gateway.client("minio").list_parts(Bucket=bucket, Key=uploads[0]["Key"], UploadId=uploads[0]["UploadId"])
        return len(found.get("Parts", []))

    for enough in (3, 6):
        worker = bm.worker()
        wait_for(lambda: parts() >= enough, 60, lambda: bm.describe(backup))
        worker.kill()
    bm.ctl("destination", "update", "minio", "--bandwidth-limit", 100 * MIB)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    assert read_back(gateway, row, bucket) == row["checksum"]
    assert not open_uploads(gateway, "minio", bucket)
    bm.fsck()


def test_an_object_that_stands_there(bm, gateway, place):
    """Equal: done without sending. Different: never replaced, whether the store knows If-None-Match or not."""
    for type in TYPES:
        place(type)
    database = source(bm, 1000)
    bm.assign(database, *TYPES)
    bm.ctl("queue", "pause")
    backup = bm.run(database)
    for row in bm.rows(backup):
        config = json.loads(bm.value("SELECT storage_config FROM destinations WHERE id = %s", row["destination_id"]))
        gateway.client(row["storage_type"]).put_object(Bucket=config["bucket"], Key=row["file_path"], Body=b"something else")
    bm.ctl("queue", "resume")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "failed"
    for row in bm.rows(backup):
        assert row["error_code"] == "conflict" and row["attempts"] == 1, row
