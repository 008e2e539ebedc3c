"""Copies at object stores, through the whole system, against the scripted S3 server (tests/fakes): what a user sees of a
good copy, of each failure, and of secrets (nothing)."""

import hashlib
import json
import os
import re

import pytest

from harness.fakes import FakeS3
from harness.waiting import wait_for

MIB = 1 << 20
SECRET = FakeS3.secret_key
CREDENTIALS = json.dumps({"access_key_id": FakeS3.access_key, "secret_access_key": SECRET})


@pytest.fixture
def s3():
    with FakeS3() as server:
        yield server


@pytest.fixture
def secret(bm):
    path = os.path.join(bm.tmp, "s3-secret")
    with open(path, "w", opener=lambda p, f: os.open(p, f, 0o644)) as f:
        f.write(CREDENTIALS)
    return f"file:{path}"


def artifact(bm, name, size):
    """A `file` database whose compressed artifact is about that big."""
    return bm.file_database(name, bm.random_file(f"{name}.data", size))


def destination(bm, name, url, secret, *options, type="minio", bucket="bucket", **config):
    bm.ctl("destination", "add", name, "--type", type, "--credentials-ref", secret, "--config",
           json.dumps({"bucket": bucket, "region": "us-east-1", "endpoint": url, **config}), *options)  # fmt: skip


def client(s3):
    """One that isn't ours."""
    import boto3
    from botocore.config import Config

    return boto3.client("s3", endpoint_url=s3.http, region_name="us-east-1", aws_access_key_id=FakeS3.access_key,
                        aws_secret_access_key=SECRET, config=Config(s3={"addressing_style": "path"}))  # fmt: skip


def backup_of(bm, size, *destinations):
    database = artifact(bm, "data", size)
    bm.assign(database, *destinations)
    return bm.run(database)


def test_every_type_beside_a_disk(bm, s3, secret):
    """One backup, five places: the same bytes everywhere, by single PUT and in parts."""
    base = bm.destination("disk")
    for type in ("s3", "minio", "spaces", "backblaze"):
        destination(bm, type, s3.https, secret, type=type, ca_file=s3.ca_file, prefix=type)
    backup = backup_of(bm, 20 * MIB, "disk", "s3", "minio", "spaces", "backblaze")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    disk, *stores = sorted(bm.rows(backup), key=lambda row: row["storage_type"] != "local")
    path = bm.assert_whole(disk)
    objects = s3.objects()
    for row in stores:
        assert row["checksum"] == disk["checksum"] and row["file_size"] == disk["file_size"]
        assert row["file_path"].startswith(row["storage_type"] + "/")
        assert row["attempts"] == 1 and row["upload_duration_seconds"] is not None and row["resume_state"] is None
        assert hashlib.sha256(s3.content(row["file_path"])).hexdigest() == disk["checksum"]
        headers = {k.lower(): v for k, v in objects[row["file_path"]]["headers"].items()}
        assert headers["x-amz-meta-sha256"] == disk["checksum"]
        assert headers["x-amz-meta-backup-id"] == str(backup)
    assert not s3.uploads()
    assert os.path.getsize(path) > 16 * MIB  # so it went up in parts
    assert bm.ctl("backup", "verify", backup, "--deep", json=True)

    restored = os.path.join(bm.tmp, "restored")
    os.mkdir(restored)
    os.chmod(restored, 0o777)
    out = os.path.join(restored, "out")
    bm.ctl("backup", "restore", backup, "--from", "spaces", "--output", out, "--decode")
    with open(out, "rb") as f, open(os.path.join(bm.tmp, "data.data"), "rb") as g:
        assert f.read() == g.read()

    bm.ctl("backup", "delete", backup)
    assert not s3.objects()


@pytest.mark.parametrize("type", ["minio", "spaces"])
@pytest.mark.parametrize("size, operation", [(100, "PutObject"), (20 * MIB, "CompleteMultipartUpload")])
def test_an_answer_that_got_lost_is_no_conflict(bm, s3, secret, type, size, operation):
    """The object was made, and the connection ended: what stands there is looked at before anything is decided."""
    s3.rule("drop_answer", {"operation": operation})
    destination(bm, "store", s3.http, secret, type=type)
    backup = backup_of(bm, size, "store")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    assert hashlib.sha256(s3.content(row["file_path"])).hexdigest() == row["checksum"]
    assert len(s3.objects()) == 1 and not s3.uploads()


@pytest.mark.parametrize("type", ["minio", "spaces"])
@pytest.mark.parametrize("size", [100, 20 * MIB])
def test_another_object_is_never_replaced(bm, s3, secret, type, size):
    destination(bm, "store", s3.http, secret, type=type)
    first = backup_of(bm, 1000, "store")
    bm.worker()
    assert bm.wait_ended(first)["status"] == "completed"
    taken = bm.rows(first)[0]
    bm.ctl("queue", "pause")
    other = artifact(bm, "other", size)
    bm.assign(other, "store")
    second = bm.run(other)
    bm.query("UPDATE backup_destinations SET file_path = %s, destination_id = NULL, storage_config = %s WHERE backup_id = %s",
             taken["file_path"], json.dumps({"bucket": "bucket", "region": "us-east-1", "endpoint": s3.http,
                                             "credentials_ref": secret}), second)  # fmt: skip
    bm.ctl("queue", "resume")
    assert bm.wait_ended(second)["status"] == "failed"
    row = bm.rows(second)[0]
    assert row["error_code"] == "conflict" and row["attempts"] == 1, row
    for digest in (taken["checksum"], bm.backup(second)["artifact_sha256"]):
        assert digest[:12] in row["error_message"], row["error_message"]
    assert hashlib.sha256(s3.content(taken["file_path"])).hexdigest() == taken["checksum"]
    assert not s3.uploads()


@pytest.mark.parametrize(
    "rule, words, code",
    [
        ({"code": "AccessDenied", "status": 403}, ["403", "AccessDenied", "'bucket'"], "denied"),
        ({"code": "XMinioStorageFull", "status": 507}, ["507", "XMinioStorageFull"], "no_space"),
        ({"code": "NoSuchBucket", "status": 404}, ["NoSuchBucket", "'bucket'"], "not_found"),
        ({"code": "QuotaExceeded", "status": 403}, ["QuotaExceeded"], "no_space"),
    ],
)
@pytest.mark.parametrize("size", [100, 20 * MIB])
def test_what_is_final_ends_at_once(bm, s3, secret, size, rule, words, code):
    s3.rule({"type": "respond", **rule}, {"operation": ["PutObject", "CreateMultipartUpload"], "count": 0})
    destination(bm, "store", s3.http, secret)
    base = bm.destination("disk")
    backup = backup_of(bm, size, "store", "disk")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "partial"
    row = next(r for r in bm.rows(backup) if r["storage_type"] == "minio")
    assert row["status"] == "failed" and row["attempts"] == 1 and row["error_code"] == code, row
    for word in words:
        assert word in row["error_message"], row["error_message"]
    assert re.search(r"request [\w-]+", row["error_message"]), row["error_message"]
    assert not s3.uploads()
    bm.assert_tidy(base)

    s3.clear_rules()
    bm.ctl("backup", "retry", backup)
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)


def test_a_wrong_secret_is_told_and_never_shown(bm, s3):
    path = os.path.join(bm.tmp, "wrong")
    with open(path, "w") as f:
        f.write(f"{FakeS3.access_key}:not-the-secret-at-all")
    os.chmod(path, 0o644)
    destination(bm, "store", s3.http, f"file:{path}")
    backup = backup_of(bm, 100, "store")
    worker = bm.worker()
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["attempts"] == 1 and "SignatureDoesNotMatch" in row["error_message"], row
    assert "not-the-secret" not in json.dumps(bm.rows(backup), default=str)
    with open(worker.log_path) as f:
        assert "not-the-secret" not in f.read()


def test_a_secret_rotated_in_mid_upload_is_read_again(bm, s3, secret):
    """The old keys end while parts go up; the file holds new ones by then. Nothing fails, no upload is left behind."""
    destination(bm, "store", s3.http, secret, part_size="5MiB", parallel_parts=1)
    s3.rule("hold", {"operation": "UploadPart", "nth": 3})
    backup = backup_of(bm, 30 * MIB, "store")
    bm.worker()
    s3.wait_holding()
    new = {"access_key": "AKIANEW", "secret_key": "new-secret"}
    s3.control("POST", "/credentials", {"add": [new], "remove": [FakeS3.access_key]})
    path = secret.removeprefix("file:")
    with open(path + ".new", "w", opener=lambda p, f: os.open(p, f, 0o644)) as f:
        f.write("AKIANEW:new-secret")
    os.rename(path + ".new", path)
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


@pytest.mark.parametrize("size", [100, 20 * MIB])
def test_a_page_in_the_stores_place_is_no_object(bm, s3, secret, size):
    """A proxy or a portal answers everything with a page of its own: that passes, and nothing is judged by it."""
    page = {"type": "garbage", "body": "<html>Log in first</html>"}
    s3.rule(page, {"count": 0}, before_auth=True)
    destination(bm, "store", s3.http, secret)
    backup = backup_of(bm, size, "store")
    bm.worker(BM_MAX_ATTEMPTS="50")
    wait_for(lambda: bm.rows(backup)[0]["attempts"] >= 2, 60, lambda: bm.describe(backup))
    row = bm.rows(backup)[0]
    assert row["error_code"] == "protocol" and "ETag" in row["error_message"], row
    s3.clear_rules()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    s3.rule(page, {"count": 0}, before_auth=True)
    for deep in ([], ["--deep"]):
        done = bm.ctl("backup", "verify", backup, *deep, check=False)
        assert done.returncode == 1 and "ETag" in done.stdout and "corrupt" not in done.stdout, done.stdout
    assert bm.ctl("backup", "delete", backup, check=False).returncode == 1
    s3.clear_rules()
    assert len(s3.objects()) == 1


def test_transient_trouble_is_bridged_and_waits_are_obeyed(bm, s3, secret):
    """SlowDown with Retry-After, a connection cut in mid part, an error within a 200: one attempt is enough."""
    s3.rule({"type": "respond", "status": 503, "code": "SlowDown", "headers": {"Retry-After": "1"}},
            {"operation": "UploadPart", "part": 1})  # fmt: skip
    s3.rule({"type": "close_request", "bytes": 100000, "reset": True}, {"operation": "UploadPart", "part": 2})
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


def test_exhausted_attempts_leave_no_upload_open(bm, s3, secret):
    s3.rule({"type": "respond", "status": 500, "code": "InternalError"}, {"operation": "UploadPart", "part": 3, "count": 0})
    destination(bm, "store", s3.http, secret, part_size="5MiB")
    backup = backup_of(bm, 20 * MIB, "store")
    bm.worker(BM_MAX_ATTEMPTS="2")
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["attempts"] == 2 and "InternalError" in row["error_message"] and row["resume_state"] is None
    assert not s3.uploads()
    assert len(s3.log("CreateMultipartUpload")) == 1  # the second attempt went on with the first one's upload


def test_cancel_aborts_the_upload(bm, s3, secret):
    s3.rule({"type": "hold"}, {"operation": "UploadPart", "count": 0})
    destination(bm, "store", s3.http, secret, part_size="5MiB")
    backup = backup_of(bm, 20 * MIB, "store")
    bm.worker()
    s3.wait_holding()
    bm.ctl("backup", "cancel", backup)
    wait_for(lambda: not s3.uploads(), 60, lambda: str(s3.state()))
    assert bm.rows(backup)[0]["error_code"] == "cancelled"


def test_a_drained_worker_hands_its_upload_on(bm, s3, secret):
    s3.rule({"type": "hold"}, {"operation": "UploadPart", "nth": 3, "count": 0})
    destination(bm, "store", s3.http, secret, part_size="5MiB", parallel_parts=2)
    backup = backup_of(bm, 30 * MIB, "store")
    first = bm.worker(BM_DRAIN_SECONDS="1")
    s3.wait_holding(count=2)
    first.signal(15)
    first.wait(60)
    row = bm.rows(backup)[0]
    assert row["status"] == "pending" and row["attempts"] == 0 and row["resume_state"], row
    s3.clear_rules()
    s3.release()
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    assert len(s3.log("CreateMultipartUpload")) == 1 and not s3.uploads()


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


def test_destination_test_prints_each_step(bm, s3, secret):
    destination(bm, "store", s3.http, secret)
    done = bm.ctl("destination", "test", "store")
    assert "FAIL" not in done.stdout and done.stdout.count("OK") >= 5, done.stdout
    assert not s3.objects()
    s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, {"operation": "PutObject", "count": 0})
    done = bm.ctl("destination", "test", "store", check=False)
    assert done.returncode == 1 and "AccessDenied" in done.stdout and "s3:PutObject" in done.stdout, done.stdout
    bm.ctl("destination", "update", "store", "--config", json.dumps({"bucket": "nowhere", "region": "us-east-1", "endpoint": s3.http}))
    done = bm.ctl("destination", "test", "store", check=False)
    assert done.returncode == 1 and "bucket 'nowhere' isn't there" in done.stdout, done.stdout


def test_doctor_looks_where_copies_go(bm, s3, secret):
    """Rights may end at the prefix; and who has a store is not told to mount a disk."""
    s3.rule({"type": "respond", "status": 403}, {"operation": "HeadObject", "key": "^(?!ours/)", "count": 0})
    destination(bm, "store", s3.http, secret, prefix="/ours/")
    destination(bm, "nowhere", s3.http, secret, bucket="nowhere", prefix="ours")
    found = {f["check"]: f for f in bm.ctl("doctor", json=True, check=False)}
    assert found["destination store"]["level"] == "OK", found
    assert "destination test" in found["destination nowhere"]["advice"], found
    assert "disk" not in found["destination nowhere"]["advice"], found
    assert "FAIL" not in bm.ctl("destination", "test", "store").stdout
    assert all(e["path"].startswith("/bucket/ours/backupmanager-") for e in s3.log() if e["status"] == 200 and e["operation"] != "HeadBucket")


def test_tls_is_verified(bm, s3, secret):
    destination(bm, "trusting", s3.https, secret, ca_file=s3.ca_file)
    destination(bm, "wary", s3.https, secret)
    assert "FAIL" not in bm.ctl("destination", "test", "trusting").stdout
    done = bm.ctl("destination", "test", "wary", check=False)
    assert done.returncode == 1 and "ca_file" in done.stdout, done.stdout


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


def test_no_secret_anywhere(bm, s3, secret):
    """Neither in Redis, nor in PostgreSQL, logs, arguments or answers; nor does a dump's child inherit it."""
    destination(bm, "store", s3.http, "env:THE_STORE_SECRET")
    environ = os.path.join(bm.tmp, "environ")
    database = bm.command_database("env", "sh", "-c", f"env > {environ}; echo done")
    bm.assign(database, "store")
    os.chmod(bm.tmp, 0o777)
    backup = bm.run(database)
    worker = bm.worker(THE_STORE_SECRET=CREDENTIALS, AWS_SECRET_ACCESS_KEY="aws-secret-of-the-worker", VAULT_TOKEN="hvs.token")
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    commands = (["destination", "show", "store"], ["destination", "list"], ["backup", "show", backup])
    shown = [bm.ctl(*words, json=json_too).stdout if not json_too else json.dumps(bm.ctl(*words, json=True))
             for words in commands for json_too in (False, True)]  # fmt: skip
    tables = [json.dumps(bm.query(f"SELECT * FROM {t}"), default=str) for t in ("destinations", "backup_destinations", "backups")]
    with open(worker.log_path) as f:
        log = f.read()
    with open(environ) as f:
        child = f.read()
    for text in (*shown, *tables, log, child):
        assert SECRET not in text and "aws-secret-of-the-worker" not in text and "hvs.token" not in text
    assert "X-Amz-Signature" not in log and "Signature=" not in log


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
