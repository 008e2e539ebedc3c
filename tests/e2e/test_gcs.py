"""Copies at Google Cloud Storage: its credentials, its resumable uploads, its checks. What all stores have is in
test_object_stores.py."""

import json
import os

import pytest

from harness import google_sdk, object_stores
from harness.fakes import FakeGcs
from harness.object_stores import LARGE, MIB, SMALL, everything_shown, secret_file
from harness.waiting import wait_for

KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
POOL = "//iam.googleapis.com/pool/provider"
TARGET = "target@project.iam.gserviceaccount.com"


@pytest.fixture
def store(bm):
    with object_stores.opened("gcs", bm) as opened:
        yield opened


def completed(bm, store, size=LARGE, attempts=1, **env):
    """A backup that is there at the end: its row."""
    backup = store.backup_of(size)
    bm.worker(**env)
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    assert row["attempts"] == attempts, row
    store.assert_whole(row)
    assert not store.fake.uploads()
    return row


def file_of(bm, name, document):
    """A credentials file: its path."""
    return secret_file(bm, name, json.dumps(document)).removeprefix("file:")


# -- credentials


def authorized_user(bm, store):
    return {"type": "authorized_user", "client_id": "client", "client_secret": "client-secret",
            "refresh_token": "refresh-token", "token_uri": store.tokens.http + "/token"}  # fmt: skip


def external_account(bm, store, source, **more):
    return {"type": "external_account", "audience": POOL, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": store.tokens.http + "/v1/token", "credential_source": source, **more}  # fmt: skip


def from_file(bm, store):
    path = secret_file(bm, "subject", "subject-token").removeprefix("file:")
    return external_account(bm, store, {"file": path})


def from_url(bm, store):
    store.tokens.change(google={"subject": {"token": "subject-token", "headers": {"X-Need": "1"}, "field": "id_token"}})
    source = {"url": store.tokens.http + "/subject-token", "headers": {"X-Need": "1"},
              "format": {"type": "json", "subject_token_field_name": "id_token"}}  # fmt: skip
    return external_account(bm, store, source)


def impersonating(bm, store):
    url = f"{store.tokens.http}/v1/projects/-/serviceAccounts/{TARGET}:generateAccessToken"
    return {**from_file(bm, store), "service_account_impersonation_url": url}


@pytest.mark.parametrize("document, operations", [
    (authorized_user, ["RefreshAccessToken"]), (from_file, ["ExchangeToken"]), (from_url, ["ExchangeToken"]),
    (impersonating, ["ExchangeToken", "GenerateAccessToken"]),
])  # fmt: skip
@pytest.mark.parametrize("referenced", [True, False])
def test_every_kind_of_credentials(bm, store, document, operations, referenced):
    """Referenced by the destination, or found where Google's own clients look."""
    path = file_of(bm, "google.json", document(bm, store))
    env = {} if referenced else {"GOOGLE_APPLICATION_CREDENTIALS": path}
    store.destination(ref=f"file:{path}" if referenced else "")
    completed(bm, store, **env)
    issued = store.tokens.google_issued()
    assert [line["operation"] for line in issued] == operations, issued
    used = {e["token"] for e in store.fake.log() if e["operation"] not in ("UploadChunk", "QueryResumable")}
    assert used == {issued[-1]["number"]}
    done = bm.ctl("destination", "test", "store", env=env)
    assert "FAIL" not in done.stdout, done.stdout


def test_the_machines_own_account(bm, store):
    """The metadata server's token: over TLS only, and only from a server that says that it is Google's."""
    env = {"GCE_METADATA_HOST": f"127.0.0.1:{store.tokens.ports['http']}"}
    store.destination(ref="", https=True)
    row = completed(bm, store, **env)
    assert [line["operation"] for line in store.tokens.google_issued()] == ["MetadataToken"]
    assert bm.ctl("backup", "verify", row["backup_id"], "--deep", env=env)
    store.tokens.change(google={"flavor": None})
    done = bm.ctl("destination", "test", "store", env=env, check=False)
    assert done.returncode == 1 and "isn't Google's" in done.stdout, done.stdout
    store.tokens.change(google={"flavor": "Google", "account": None})
    done = bm.ctl("destination", "test", "store", env=env, check=False)
    assert done.returncode == 1, done.stdout


@pytest.mark.parametrize("written", ["host", "url"])
def test_an_emulator_gets_no_token(bm, store, written):
    store.fake.change(anonymous=True)
    host = f"127.0.0.1:{store.fake.ports['http']}"
    store.destination(ref="", endpoint=None)
    env = {"STORAGE_EMULATOR_HOST": host if written == "host" else f"http://{host}",
           "GCE_METADATA_HOST": f"127.0.0.1:{store.tokens.ports['http']}"}  # fmt: skip
    completed(bm, store, **env)
    assert not [e for e in store.fake.log() if "authorization" in e["headers"]]
    assert not store.tokens.log()


def test_a_token_is_fetched_once_and_again_when_it_ends(bm, store):
    """In mid upload the token ends (the session needs none); what follows is asked with another one. A lifetime of more
    than an hour's quarter is kept."""
    store.destination(**store.in_parts)
    store.fake.rule("hold", {"operation": "UploadChunk", "nth": 2})
    backup = store.backup_of(LARGE)
    bm.worker()
    store.fake.wait_holding()
    assert len(store.tokens.google_issued()) == 1
    store.fake.credentials(expire=[1])
    store.fake.release()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    store.assert_whole(bm.rows(backup)[0])
    assert not [e for e in store.fake.log("UploadChunk") if "authorization" in e["headers"]]
    second = store.backup_of(SMALL, name="second")
    assert bm.wait_ended(second)["status"] == "completed", bm.describe(second)
    assert bm.rows(second)[0]["attempts"] == 1
    refused = [e for e in store.fake.log() if e["status"] == 401]
    assert len(store.tokens.google_issued()) == 2 and len(refused) >= 1


@pytest.mark.parametrize("operation", ["InsertMultipart", "StartResumable", "GetObject"])
def test_a_token_refused_once_is_fetched_anew(bm, store, operation):
    store.destination()
    store.fake.rule("expire_credentials", {"operation": operation})
    completed(bm, store, size=SMALL if operation == "InsertMultipart" else LARGE)
    assert len(store.tokens.google_issued()) == 2
    assert [e["status"] for e in store.fake.log(operation)][:2] == [401, 404 if operation == "GetObject" else 200]


def test_a_token_that_is_never_taken_is_final(bm, store):
    store.fake.rule({"type": "respond", "status": 401, "code": "authError", "message": "Invalid Credentials"}, {"count": 0})
    store.destination()
    backup = store.backup_of(SMALL)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["attempts"] == 1 and row["error_code"] == "denied" and "authError" in row["error_message"], row
    assert len(store.tokens.google_issued()) == 2


def test_a_scope_that_is_not_enough(bm, store):
    """A user whose rights end before the store's."""
    users = {"refresh-token": {"client_id": "client", "client_secret": "client-secret",
                               "scopes": ["https://www.googleapis.com/auth/devstorage.read_only"]}}  # fmt: skip
    store.tokens.change(google={"users": users})
    store.destination(ref=secret_file(bm, "user", json.dumps(authorized_user(bm, store))))
    backup = store.backup_of(SMALL)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["attempts"] == 1 and row["error_code"] == "denied" and "scope" in row["error_message"], row


@pytest.mark.parametrize("action", [
    {"type": "respond", "status": 503, "code": "temporarily_unavailable"}, {"type": "garbage"}, {"type": "truncate"},
    {"type": "drop_answer"}, {"type": "slow", "ms": 1}, {"type": "respond", "status": 200, "body": "{}"},
])  # fmt: skip
def test_a_token_endpoint_in_trouble(bm, store, action):
    store.tokens.rule(action, {"operation": "ExchangeAssertion"})
    store.destination()
    backup = store.backup_of(SMALL)
    worker = bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    store.assert_whole(bm.rows(backup)[0])
    tokens = [line["token"] for line in store.tokens.google_issued()]
    shown = everything_shown(bm, worker)
    assert tokens and not [token for token in tokens for text in shown if token in text]


def test_a_clock_that_is_wrong_is_named(bm, store):
    store.tokens.change(clock_offset=-7200)
    store.destination()
    backup = store.backup_of(SMALL)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["attempts"] == 1 and "clock" in row["error_message"], row


# -- uploads


def test_their_client_reads_what_ours_has_written(bm, store):
    store.destination(storage_class="NEARLINE", kms_key_name=KEY, custom_time=True, metadata={"owner": "shop"}, temporary_hold=True)
    for size in (SMALL, LARGE):
        backup = store.backup_of(size, name=f"data{size}")
        bm.worker()
        assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
        row = bm.rows(backup)[0]
        theirs = google_sdk.client(store.fake.http, token=FakeGcs.token)
        assert theirs.sha256(row["file_path"]) == (row["checksum"], row["file_size"])
        head = theirs.head(row["file_path"])
        assert (head["storageClass"], head["metadata"]["owner"], head["temporaryHold"]) == ("NEARLINE", "shop", True)
        assert head["kmsKeyName"].startswith(KEY) and head["customTime"] and head["metadata"]["sha256"] == row["checksum"]
        held = bm.ctl("backup", "delete", backup, check=False)
        assert held.returncode == 1 and "hold" in held.stdout + held.stderr, held.stdout + held.stderr
        theirs.file(row["file_path"])
    assert all(e["query"]["ifGenerationMatch"] == "0" for e in store.fake.log() if e["operation"] in store.writes)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_key_of_ones_own(bm, store, size):
    store.destination(https=True, encryption_key_ref=secret_file(bm, "key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="))
    row = completed(bm, store, size)
    assert store.fake.objects()[row["file_path"]]["resource"]["customerEncryption"]["encryptionAlgorithm"] == "AES256"
    assert bm.ctl("backup", "verify", row["backup_id"], "--deep")


def test_less_is_kept_than_was_sent(bm, store):
    """Each answer says how much; nothing is left out, nothing much sent twice, and no byte is sent that's kept already."""
    store.fake.rule({"type": "keep", "bytes": 3 * MIB}, {"operation": "UploadChunk", "nth": 1})
    store.fake.rule({"type": "keep", "bytes": 0}, {"operation": "UploadChunk", "nth": 2})
    store.fake.rule({"type": "keep", "bytes": 2 * MIB, "status": 503}, {"operation": "UploadChunk", "nth": 3})
    store.destination()
    completed(bm, store)
    begins = [int(e["content_range"].split()[1].partition("-")[0]) for e in store.fake.log("UploadChunk")]
    assert begins == [0, 3 * MIB, 3 * MIB, 5 * MIB], begins
    assert len(store.fake.log("QueryResumable")) == 1 and store.begun() == 1


def test_an_upload_that_is_all_there_is_ended_by_the_question(bm, store):
    """The store has every byte, and made no object of them yet."""
    store.fake.rule({"type": "keep", "bytes": 1 << 30, "status": 503}, {"operation": "UploadChunk"})
    store.destination()
    completed(bm, store)
    assert len(store.fake.log("UploadChunk")) == 1 and store.begun() == 1


def test_an_upload_that_breaks_off_is_asked_about(bm, store):
    """With what the store has of it, nothing is sent twice but what it hasn't kept."""
    for number in range(3):
        store.fake.rule({"type": "close_request", "bytes": 5 * MIB, "reset": True}, {"operation": "UploadChunk", "nth": number + 1})
    store.destination()
    row = completed(bm, store)
    sent = sum(e["request_bytes"] for e in store.fake.log("UploadChunk"))
    assert row["file_size"] <= sent <= row["file_size"] + 3 * 256 * 1024, (sent, row["file_size"])
    assert store.begun() == 1


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("how", ["expired", "answered"])
def test_a_session_that_is_gone_is_begun_anew(bm, store, status, how):
    store.fake.change(gone_status=status)
    store.destination(**store.in_parts)
    if how == "answered":
        rule = {"type": "respond", "status": status, "code": "notFound" if status == 404 else "gone"}
        store.fake.rule(rule, {"operation": "UploadChunk", "nth": 3})
    else:
        store.fake.rule("hold", {"operation": "UploadChunk", "nth": 3})
    backup = store.backup_of(LARGE)
    bm.worker()
    if how == "expired":
        store.fake.wait_holding()
        upload = store.fake.uploads()[0]["upload_id"]
        store.fake.end_session(upload)
        store.fake.release()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    store.assert_whole(bm.rows(backup)[0])
    assert bm.rows(backup)[0]["attempts"] == 1 and store.begun() == 2
    assert [u["number"] for u in store.fake.uploads()] == ([1] if how == "answered" else [])  # by its word, it's gone


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_byte_that_arrives_as_another_makes_no_object(bm, store, size):
    """Google refuses it, as the checksum was promised; the next attempt brings it whole."""
    operation = store.small if size == SMALL else store.part
    store.fake.rule({"type": "corrupt", "at": -100 if size == SMALL else MIB}, {"operation": operation})
    store.destination()
    backup = store.backup_of(size)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    store.assert_whole(bm.rows(backup)[0])
    assert [e["status"] for e in store.fake.log(operation)][:1] == [400]
    assert not store.fake.uploads()


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_store_that_took_another_byte_loses_that_generation(bm, store, size):
    """It doesn't look at checksums, but tells the one of what it has: that generation goes, and the attempt is repeated."""
    store.fake.change(hashes="ignored")
    operation = store.small if size == SMALL else store.part
    store.fake.rule({"type": "corrupt", "at": -100 if size == SMALL else MIB}, {"operation": operation})
    store.destination(place="versioned")
    backup = store.backup_of(size)
    bm.worker(BM_MAX_ATTEMPTS="1")
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["error_code"] == "corrupt" and "is not what was sent" in row["error_message"], row
    removed = store.fake.log("DeleteObject")
    assert len(removed) == 1 and removed[0]["query"]["generation"]
    state = store.fake.state()
    assert not state["objects"] and not state["older_versions"] and not state["uploads"]  # that generation is gone for good
    bm.ctl("backup", "retry", backup)
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    assert store.fake.objects("versioned")[row["file_path"]]["sha256"] == row["checksum"]


# -- the session is a secret


def sessions_of(store):
    return [upload["upload_id"] for upload in store.fake.uploads()]


@pytest.mark.parametrize("key", ["own key", "the account's"])
def test_the_session_is_shown_nowhere(bm, store, key):
    """Nor its URI: it writes the object without any credentials. It's encrypted in PostgreSQL, and found there again."""
    env = {"BM_ENCRYPTION_KEY_REF": secret_file(bm, "master", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")} if key == "own key" else {}
    store.destination(**store.in_parts)
    store.fake.rule("hold", {"operation": "UploadChunk", "nth": 3, "count": 0})
    backup = store.backup_of(LARGE)
    first = bm.worker(**env)
    store.fake.wait_holding()
    secret = sessions_of(store)[0]
    wait_for(lambda: bm.rows(backup)[0]["resume_state"], 60, lambda: bm.describe(backup))
    held = [str(bm.redis.client().dump(key)) for key in bm.redis.client().scan_iter("*")]
    assert not [text for text in (*everything_shown(bm, first), *held) if secret in text]
    assert json.loads(bm.rows(backup)[0]["resume_state"])["session"]
    first.kill()
    store.fake.clear_rules()
    store.fake.release()
    store.fake.rule({"type": "respond", "status": 503, "code": "backendError"}, {"operation": "UploadChunk", "nth": 1})
    second = bm.worker(**env)
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    assert store.begun() == 1
    assert not [text for text in everything_shown(bm, first, second) if secret in text]


def test_a_session_that_cannot_be_recorded_is_not_left_open(bm, store):
    """The machine's own account has no secret to encrypt it with: what fails is cancelled, and the next attempt begins anew."""
    env = {"GCE_METADATA_HOST": f"127.0.0.1:{store.tokens.ports['http']}"}
    store.destination(ref="", https=True, **store.in_parts)
    store.fails_for_ever("broken", "UploadChunk", nth=3)
    backup = store.backup_of(LARGE)
    bm.worker(BM_MAX_ATTEMPTS="2", **env)
    assert bm.wait_ended(backup)["status"] == "failed", bm.describe(backup)
    assert store.begun() == 2 and len(store.fake.log("CancelResumable")) == 2
    assert not store.fake.uploads()


# -- settings


def test_sweep_says_that_sessions_end_by_themselves(bm, store):
    store.destination()
    done = bm.ctl("destination", "sweep", "store", check=False)
    assert "week" in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize(
    "config, word",
    [
        ({}, "bucket"),
        ({"bucket": "bbb", "endpoint": "ftp://x"}, "endpoint"),
        ({"bucket": "bbb", "colour": "red"}, "colour"),
        ({"bucket": "bbb", "chunk_size": "100KiB"}, "chunk_size"),
        ({"bucket": "bbb", "storage_class": 7}, "storage_class"),
        ({"bucket": "bbb", "private_key": "hush"}, "credentials_ref"),
        ({"bucket": "bbb", "retention_mode": "Locked"}, "retention"),
        ({"bucket": "bbb", "kms_key_name": "key"}, "kms_key_name"),
    ],
)
def test_bad_settings_are_refused_by_name(bm, config, word):
    done = bm.ctl("destination", "add", "bad", "--type", "gcs", "--config", json.dumps(config), check=False)
    assert done.returncode == 2 and word in done.stderr and "hush" not in done.stderr, done.stderr
    assert not bm.query("SELECT FROM destinations")


def test_retention(bm, store):
    store.destination(place="locked", retention_mode="Unlocked", retention_days=30)
    done = bm.ctl("destination", "test", "store")
    assert "FAIL" not in done.stdout and not store.fake.objects("locked"), done.stdout  # a probe is never retained
    backup = store.backup_of(SMALL)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    held = store.fake.objects("locked")[bm.rows(backup)[0]["file_path"]]["resource"]
    assert held["retention"]["mode"] == "Unlocked"
    kept = bm.ctl("backup", "delete", backup, check=False)
    assert kept.returncode == 1 and "retention" in kept.stdout + kept.stderr, kept.stdout + kept.stderr


@pytest.mark.parametrize("name, source", [("HOME", "application_default_credentials.json")])
def test_the_file_that_gcloud_leaves(bm, store, name, source):
    folder = bm.directory("home/.config/gcloud")
    with open(os.path.join(folder, source), "w") as f:
        json.dump(authorized_user(bm, store), f)
    store.destination(ref="", https=True)
    completed(bm, store, SMALL, HOME=os.path.join(bm.tmp, "home"))
    assert [line["operation"] for line in store.tokens.google_issued()] == ["RefreshAccessToken"]
