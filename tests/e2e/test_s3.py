"""Copies at S3 stores: what they have and other stores don't. What all stores have is in test_object_stores.py."""

import hashlib
import json

import pytest

from harness.fakes import FakeS3
from harness.object_stores import MIB, backup_of, secret_file
from harness.waiting import wait_for

SECRET = FakeS3.secret_key
CREDENTIALS = json.dumps({"access_key_id": FakeS3.access_key, "secret_access_key": SECRET})


@pytest.fixture
def s3():
    with FakeS3() as server:
        yield server


@pytest.fixture
def secret(bm):
    return secret_file(bm, "s3-secret", CREDENTIALS)


def destination(bm, name, url, secret, *options, type="minio", bucket="bucket", **config):
    bm.ctl("destination", "add", name, "--type", type, "--credentials-ref", secret, "--config",
           json.dumps({"bucket": bucket, "region": "us-east-1", "endpoint": url, **config}), *options)  # fmt: skip


def client(s3):
    """One that isn't ours."""
    import boto3
    from botocore.config import Config

    return boto3.client("s3", endpoint_url=s3.http, region_name="us-east-1", aws_access_key_id=FakeS3.access_key,
                        aws_secret_access_key=SECRET, config=Config(s3={"addressing_style": "path"}))  # fmt: skip


def test_a_secret_rotated_in_mid_upload_is_read_again(bm, s3, secret):
    """The old keys end while parts go up; the file holds new ones by then. Nothing fails, no upload is left behind."""
    destination(bm, "store", s3.http, secret, part_size="5MiB", parallel_parts=1)
    s3.rule("hold", {"operation": "UploadPart", "nth": 3})
    backup = backup_of(bm, 30 * MIB, "store")
    bm.worker()
    s3.wait_holding()
    new = {"access_key": "AKIANEW", "secret_key": "new-secret"}
    s3.control("POST", "/credentials", {"add": [new], "remove": [FakeS3.access_key]})
    secret_file(bm, "s3-secret", "AKIANEW:new-secret")
    s3.release()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    assert bm.rows(backup)[0]["attempts"] == 1 and not s3.uploads()
    assert {e.get("access_key") for e in s3.log("CompleteMultipartUpload")} == {"AKIANEW"}


def test_an_upload_that_cannot_be_aborted_is_not_forgotten(bm, s3, secret):
    """The keys lose all their rights in mid upload. With them back, the retry goes on where it was."""
    destination(bm, "store", s3.http, secret, part_size="5MiB", parallel_parts=1)
    s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, {"operation": "UploadPart", "nth": 3, "count": 0})
    s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, {"operation": "AbortMultipartUpload", "count": 0})
    backup = backup_of(bm, 30 * MIB, "store")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "failed"
    assert s3.uploads()[0]["upload_id"] in bm.rows(backup)[0]["resume_state"]
    s3.clear_rules()
    bm.ctl("backup", "retry", backup)
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    assert len(s3.log("CreateMultipartUpload")) == 1 and not s3.uploads()
    sent = [e["query"]["partNumber"] for e in s3.log("UploadPart") if e["status"] == 200]
    assert len(sent) == len(set(sent)), sent
    assert bm.rows(backup)[0]["resume_state"] is None


def test_an_error_within_a_200_is_bridged(bm, s3, secret):
    s3.rule({"type": "error_in_200"}, {"operation": "CompleteMultipartUpload"})
    destination(bm, "store", s3.http, secret, part_size="5MiB")
    backup = backup_of(bm, 20 * MIB, "store")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    assert row["attempts"] == 1
    assert hashlib.sha256(s3.content(row["file_path"])).hexdigest() == row["checksum"]
    assert not s3.uploads()


def test_a_killed_worker_leaves_its_parts_to_the_next(bm, s3, secret):
    """Parts that arrived before kill -9 aren't sent again, and no upload stays open."""
    destination(bm, "store", s3.http, secret, part_size="5MiB", parallel_parts=2)
    s3.rule({"type": "hold"}, {"operation": "UploadPart", "nth": 7, "count": 0}, id="hold")
    backup = backup_of(bm, 60 * MIB, "store")
    first = bm.worker()
    s3.wait_holding(count=2)
    wait_for(lambda: '"upload_id":' in (bm.rows(backup)[0]["resume_state"] or ""), 60)
    first.kill()
    before = {e["query"]["partNumber"] for e in s3.log("UploadPart") if e["status"] == 200}
    s3.clear_rules()
    s3.release()
    s3.control("DELETE", "/log")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    again = [e["query"]["partNumber"] for e in s3.log("UploadPart")]
    assert len(before) >= 6 and not set(again) & before, (before, again)
    row = bm.rows(backup)[0]
    assert hashlib.sha256(s3.content(row["file_path"])).hexdigest() == row["checksum"]
    assert not s3.uploads() and len(s3.log("CreateMultipartUpload")) == 0
    bm.fsck()


def test_sweep_aborts_old_uploads_of_ours_only(bm, s3, secret):
    """Left by rows that are gone; one that a live row will take up again stays, and so does a stranger's."""
    s3.rule({"type": "respond", "status": 500, "code": "InternalError"}, {"operation": "UploadPart", "count": 0})
    destination(bm, "store", s3.http, secret, part_size="5MiB", prefix="ours")
    backup = backup_of(bm, 20 * MIB, "store")
    bm.worker(BM_RETRY_BASE_MS="600000", BM_RETRY_CAP_MS="600000")
    wait_for(lambda: bm.rows(backup)[0]["attempts"] == 1 and bm.rows(backup)[0]["status"] == "pending", 60)
    kept = s3.uploads()[0]
    old = client(s3).create_multipart_upload(Bucket="bucket", Key="ours/forgotten.sql.gz")["UploadId"]
    stranger = client(s3).create_multipart_upload(Bucket="bucket", Key="theirs/file")["UploadId"]

    listed = bm.ctl("destination", "sweep", "store", "--dry-run", json=True)
    assert {u["key"] for u in listed} == {kept["key"], "ours/forgotten.sql.gz"}
    young = bm.ctl("destination", "sweep", "store", json=True)
    assert all(u["state"].startswith("kept") for u in young)
    swept = {u["key"]: u for u in bm.ctl("destination", "sweep", "store", "--older-than", "0", json=True)}
    assert swept["ours/forgotten.sql.gz"]["state"] == "aborted", swept
    assert swept[kept["key"]]["state"].startswith("kept"), swept
    left = {u["upload_id"] for u in s3.uploads()}
    assert left == {kept["upload_id"], stranger} and old not in left


@pytest.mark.parametrize(
    "config, begins",
    [
        ('"prefix": "backups\\/prod"', "backups/prod/"),  # as PHP writes it
        ('"prefix": "caff\\u00e8"', "caffè/"),
        ('"tags": {"prefix": "tag"}', "data/"),
        ('"tags": {"prefix": "tag", "a": "b"}, "prefix": "/own//"', "own/"),
    ],
)
def test_the_prefix_is_read_as_json(bm, s3, secret, config, begins):
    text = f'{{"bucket": "bucket", "endpoint": "{s3.http}", {config}}}'
    bm.ctl("destination", "add", "store", "--type", "minio", "--credentials-ref", secret, "--config", text)
    backup = backup_of(bm, 100, "store")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    assert [key.startswith(begins) for key in s3.objects()] == [True], s3.objects().keys()


def test_sweep_takes_the_prefix_as_a_folder(bm, s3, secret):
    """However it is written; and what only begins with the same letters is a stranger's."""
    destination(bm, "store", s3.http, secret, prefix="/ours/")
    destination(bm, "bare", s3.http, secret, prefix="ours")
    store = client(s3)
    for key in ("ours/forgotten", "ours-not/file", "oursnot"):
        store.create_multipart_upload(Bucket="bucket", Key=key)
    for name in ("store", "bare"):
        assert [u["key"] for u in bm.ctl("destination", "sweep", name, "--dry-run", json=True)] == ["ours/forgotten"]
    bm.ctl("destination", "sweep", "bare", "--older-than", "0")
    assert {u["key"] for u in s3.uploads()} == {"ours-not/file", "oursnot"}


@pytest.mark.parametrize(
    "config, word",
    [
        ({"endpoint": "https://x"}, "bucket"),
        ({"bucket": "bbb"}, "endpoint"),
        ({"bucket": "bbb", "endpoint": "ftp://x"}, "endpoint"),
        ({"bucket": "bbb", "endpoint": "https://x", "colour": "red"}, "colour"),
        ({"bucket": "bbb", "endpoint": "https://x", "part_size": "1KiB"}, "part_size"),
        ({"bucket": "bbb", "endpoint": "https://x", "secret_access_key": "hush"}, "credentials_ref"),
        ({"bucket": "bbb", "endpoint": "https://x", "sse": "rot13"}, "sse"),
        ({"bucket": "bbb", "endpoint": "https://x", "object_lock_days": "soon"}, "object_lock"),
    ],
)
def test_bad_settings_are_refused_by_name(bm, config, word):
    done = bm.ctl("destination", "add", "bad", "--type", "minio", "--config", json.dumps(config), check=False)
    assert done.returncode == 2 and word in done.stderr and "hush" not in done.stderr, done.stderr
    assert not bm.query("SELECT FROM destinations")


def test_the_prefix_is_the_configurations_own(bm, secret):
    """Not that of a tag by this name, nor one that only looks so in the text."""
    url = "https://store.invalid"
    destination(bm, "tagged", url, secret, tags={"prefix": "wrong"}, prefix="/right/place/")
    destination(bm, "bare", url, secret, tags={"prefix": "wrong"})
    backup = backup_of(bm, 10, "tagged", "bare")
    paths = {row["storage_name"]: row["file_path"] for row in bm.rows(backup)}
    assert paths["tagged"].startswith("right/place/data/") and paths["bare"].startswith("data/"), paths


def test_a_probe_is_never_locked(bm, s3, secret):
    destination(bm, "store", s3.https, secret, type="s3", bucket="locked", ca_file=s3.ca_file,
                object_lock_mode="COMPLIANCE", object_lock_days=365)  # fmt: skip
    done = bm.ctl("destination", "test", "store")
    assert "FAIL" not in done.stdout and "Object Lock" in done.stdout, done.stdout
    assert [e for e in s3.log("PutObject")] and not s3.state()["objects"]
    assert not [h for e in s3.log("PutObject") for h in e["headers"] if "lock" in str(h).lower()]
    backup = backup_of(bm, 100, "store")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    assert [h for e in s3.log("PutObject") for h in e["headers"] if "lock" in str(h).lower()]
