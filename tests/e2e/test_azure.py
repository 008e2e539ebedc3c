"""Copies at Azure: what it has and other stores don't, against the scripted servers. What all stores have is in
test_object_stores.py; the same programs against Azurite are in test_azure_azurite.py."""

import base64
import hashlib
import json
import os

import pytest

from harness import object_stores
from harness.fakes import FakeAzure, FakeCredentials
from harness.object_stores import LARGE, MIB, SMALL, backup_of, everything_shown, secret_file
from harness.waiting import wait_for

IN_BLOCKS = object_stores.AzureStore.in_parts
OTHER_KEY = "YW5vdGhlciBrZXksIG1hZGUgbGF0ZXI="


@pytest.fixture
def store(bm):
    with object_stores.opened("azure_blob", bm) as opened:
        yield opened


@pytest.fixture
def azure(store):
    return store.fake


@pytest.fixture
def tokens():
    with FakeCredentials() as server:
        yield server


def completed(bm, backup):
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    return bm.rows(backup)[0]


def sent_blocks(azure):
    return [e["part"] for e in azure.log("PutBlock") if e["status"] == 201]


# -- what is said of a blob


def test_what_a_blob_carries(bm, store, azure):
    store.destination(prefix="p", tier="Cool", tags={"team": "db", "kept for": "30 days"}, **IN_BLOCKS)
    for number, size in enumerate((SMALL, LARGE)):
        backup = store.backup_of(size, name=f"data{number}")
        bm.worker() if number == 0 else None
        row = completed(bm, backup)
        store.assert_whole(row)
        found = azure.objects()[row["file_path"]]
        metadata = {name.lower(): value for name, value in found["metadata"].items()}
        assert metadata["rowid"] == str(row["id"]) and int(metadata["fence"]) >= 1
        assert (found["tier"], found["tags"]) == ("Cool", {"team": "db", "kept for": "30 days"})
        content = azure.content(row["file_path"])
        assert found["md5"] == base64.b64encode(hashlib.md5(content).digest()).decode()
    assert all("if-none-match" in e["headers"] for e in azure.log() if e["operation"] in ("PutBlob", "PutBlockList"))


@pytest.mark.parametrize(
    "checksum, header", [(None, "x-ms-content-crc64"), ("crc64", "x-ms-content-crc64"), ("md5", "content-md5")]
)
def test_blocks_carry_digests_that_the_store_checks(bm, store, azure, checksum, header):
    store.destination(**IN_BLOCKS, **({"checksum": checksum} if checksum else {}))
    backup = store.backup_of(LARGE)
    bm.worker()
    row = completed(bm, backup)
    store.assert_whole(row)
    blocks = azure.log("PutBlock")
    assert len(blocks) >= 5 and all(header in e["headers"] for e in blocks)
    assert not any({"content-md5", "x-ms-content-crc64"} <= set(e["headers"]) for e in azure.log())


@pytest.mark.parametrize("code", ["Md5Mismatch", "Crc64Mismatch"])
def test_a_block_that_arrived_damaged_is_sent_again(bm, store, azure, code):
    azure.rule({"type": "respond", "status": 400, "code": code}, {"operation": "PutBlock", "nth": 2})
    store.destination(**IN_BLOCKS)
    backup = store.backup_of(LARGE)
    bm.worker()
    row = completed(bm, backup)
    assert row["attempts"] == 1
    store.assert_whole(row)


def test_policies_and_holds(bm, store, azure):
    """What is to be kept is kept: the store refuses to delete it, and says so; probes never are."""
    store.destination("policy", place="immutable", prefix="p", immutability_days=30, immutability_mode="unlocked", **IN_BLOCKS)
    store.destination("hold", place="immutable", prefix="h", legal_hold=True)
    for name in ("policy", "hold"):
        done = bm.ctl("destination", "test", name)
        assert "FAIL" not in done.stdout, done.stdout
    assert not azure.objects("immutable")
    backup = store.backup_of(LARGE, "policy", "hold")
    bm.worker()
    completed(bm, backup)
    kept = [o["immutability"] for o in azure.objects("immutable").values()]
    assert sorted(name for headers in kept for name in headers) == [
        "x-ms-immutability-policy-mode", "x-ms-immutability-policy-until-date", "x-ms-legal-hold",
    ]  # fmt: skip
    done = bm.ctl("backup", "delete", backup, check=False)
    assert done.returncode == 1, done.stdout
    assert "BlobImmutableDueToPolicy" in done.stdout + done.stderr and "BlobImmutableDueToLegalHold" in done.stdout + done.stderr
    assert len(azure.objects("immutable")) == 2


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_customer_keys(bm, store, azure, size):
    key = base64.b64encode(os.urandom(32)).decode()
    ref = secret_file(bm, "customer-key", key)
    store.destination(https=True, customer_key_ref=ref, **IN_BLOCKS)
    assert "FAIL" not in bm.ctl("destination", "test", "store").stdout
    backup = store.backup_of(size)
    worker = bm.worker()
    row = completed(bm, backup)
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(key)).digest()).decode()
    assert azure.objects()[row["file_path"]]["key_sha256"] == digest
    assert bm.ctl("backup", "verify", backup, "--deep").returncode == 0
    assert not [text for text in everything_shown(bm, worker) if key in text]
    secret_file(bm, "customer-key", base64.b64encode(os.urandom(32)).decode())
    done = bm.ctl("backup", "verify", backup, "--deep", check=False)
    assert done.returncode == 1 and "customer_key_ref" in done.stdout, done.stdout


def test_an_archived_blob_says_what_to_do(bm, store, azure):
    store.destination(tier="Archive")
    done = bm.ctl("destination", "test", "store")
    assert "FAIL" not in done.stdout and "Archive" in done.stdout, done.stdout
    backup = store.backup_of(SMALL)
    bm.worker()
    row = completed(bm, backup)
    assert azure.objects()[row["file_path"]]["tier"] == "Archive"
    assert bm.ctl("backup", "verify", backup).returncode == 0
    done = bm.ctl("backup", "verify", backup, "--deep", check=False)
    assert done.returncode == 1 and "BlobArchived" in done.stdout and "rehydrate" in done.stdout, done.stdout
    bm.ctl("backup", "delete", backup)
    assert not azure.objects()


# -- blocks


def test_ids_are_of_this_upload_alone(bm, store, azure):
    """Two fresh starts at one name draw two prefixes; a resume goes on with the one it has."""
    store.destination(**IN_BLOCKS)
    azure.rule({"type": "respond", "status": 403, "code": "AuthorizationPermissionMismatch"},
               {"operation": "PutBlock", "nth": 3, "count": 0})  # fmt: skip
    backup = store.backup_of(LARGE)
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "failed"
    first = sent_blocks(azure)
    azure.clear_rules()
    bm.query("UPDATE backup_destinations SET resume_state = NULL")
    bm.ctl("backup", "retry", backup)
    row = completed(bm, backup)
    store.assert_whole(row)
    committed = [b["id"] for b in azure.objects()[row["file_path"]]["blocks"]]
    assert len(first) == 2 and not set(first) & set(committed)
    assert len({len(id) for id in (*first, *committed)}) == 1
    assert len({base64.b64decode(id)[:16] for id in committed}) == 1 and store.begun() == 2


def test_blocks_that_a_stranger_left_are_not_made_part_of_it(bm, store, azure):
    """Someone else's blocks wait at the name, with ids of our length: the list names our own alone."""
    store.destination(**IN_BLOCKS)
    bm.ctl("queue", "pause")
    backup = store.backup_of(LARGE)
    bm.worker()
    name = bm.rows(backup)[0]["file_path"]
    foreign = azure.endpoint().client().blob("container", name)
    for number in range(3):
        foreign.stageBlock(base64.b64encode(b"%024d" % number).decode(), b"not ours", 8)
    bm.ctl("queue", "resume")
    row = completed(bm, backup)
    store.assert_whole(row)
    assert not azure.uncommitted()


def test_blocks_of_another_length_are_told(bm, store, azure):
    store.destination(**IN_BLOCKS)
    bm.ctl("queue", "pause")
    backup = store.backup_of(LARGE)
    bm.worker()
    name = bm.rows(backup)[0]["file_path"]
    azure.endpoint().client().blob("container", name).stageBlock("AAAA", b"not ours", 8)
    bm.ctl("queue", "resume")
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["error_code"] == "conflict" and "InvalidBlobOrBlock" in row["error_message"] and "week" in row["error_message"], row


def test_blocks_that_went_are_sent_anew(bm, store, azure):
    """A week has passed, or somebody wrote to the name: the store has none of the blocks when they are to be listed."""
    store.destination(**IN_BLOCKS)
    azure.rule({"type": "hold", "at": "head"}, {"operation": "PutBlockList"})
    backup = store.backup_of(LARGE)
    bm.worker()
    azure.wait_holding()
    name = bm.rows(backup)[0]["file_path"]
    client = azure.endpoint().client()
    client.put("container", name, b"a stranger's")
    client.delete("container", name)
    assert not azure.uncommitted()
    azure.release()
    row = completed(bm, backup)
    store.assert_whole(row)
    assert store.begun() == 2


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_an_existing_blob_may_be_told_by_412(bm, store, azure, size):
    """Azure's documents know both answers to If-None-Match."""
    azure.change(exists_status=412)
    azure.rule("drop_answer", {"operation": "PutBlob" if size == SMALL else "PutBlockList"})
    store.destination(**IN_BLOCKS)
    backup = store.backup_of(size)
    bm.worker()
    row = completed(bm, backup)
    store.assert_whole(row)


def test_waits_in_milliseconds_are_kept(bm, store, azure):
    azure.rule({"type": "respond", "code": "ServerBusy", "headers": {"x-ms-retry-after-ms": "1500"}}, {"operation": "PutBlob"})
    store.destination()
    backup = store.backup_of(SMALL)
    bm.worker()
    completed(bm, backup)
    first, second = azure.log("PutBlob")
    assert second["time"] - first["time"] >= 1.5 and bm.rows(backup)[0]["attempts"] == 1


# -- credentials


def test_a_clock_that_is_wrong_is_learned(bm, store, azure):
    """x-ms-date is signed and must be within a quarter of an hour; the answer's Date says what time it is there."""
    azure.change(clock_offset=3600)
    store.destination(**IN_BLOCKS)
    backup = store.backup_of(LARGE)
    bm.worker()
    row = completed(bm, backup)
    assert row["attempts"] == 1
    assert len([e for e in azure.log() if e["status"] == 403]) <= 2


def test_forms_of_secrets(bm, store, azure):
    """What people have: a key, a connection string, a signature, JSON."""
    endpoint = azure.endpoint()
    signature = endpoint.sas(container="container")
    secrets = {
        "key": azure.key,
        "json": json.dumps({"account_name": azure.account, "account_key": azure.key}),
        "connection": endpoint.connection_string,
        "sas": signature,
        "question": "?" + endpoint.sas(),
        "sas-json": json.dumps({"sas_token": signature}),
    }
    for name, text in secrets.items():
        store.destination(name, ref=secret_file(bm, f"secret-{name}", text), prefix=name, **IN_BLOCKS)
    store.destination("bare", ref=secret_file(bm, "secret-bare", endpoint.connection_string), prefix="bare", endpoint=None)
    backup = store.backup_of(LARGE, *secrets, "bare")
    worker = bm.worker()
    completed(bm, backup)
    assert len(azure.objects()) == 7
    assert {e["authority"] for e in azure.log("PutBlock")} == {"SharedKey", "sas"}
    sig = signature.rpartition("sig=")[2]
    assert not [text for text in everything_shown(bm, worker) if sig in text or azure.key in text or "sig=" in text]


def test_a_signature_that_has_ended(bm, store, azure):
    signature = azure.endpoint().sas(container="container", seconds=-60)
    store.destination(ref=secret_file(bm, "ended", signature))
    backup = store.backup_of(SMALL)
    worker = bm.worker(BM_MAX_ATTEMPTS="2")
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["error_code"] == "denied" and "expired" in row["error_message"], row
    assert not [text for text in everything_shown(bm, worker) if signature.rpartition("sig=")[2] in text]


def test_a_key_rotated_in_mid_upload_is_read_again(bm, store, azure):
    store.destination(**IN_BLOCKS)
    azure.rule("hold", {"operation": "PutBlock", "nth": 3})
    backup = store.backup_of(LARGE)
    bm.worker()
    azure.wait_holding()
    secret_file(bm, "store-secret", OTHER_KEY)  # first: another block may be under way
    azure.change(accounts=[{"name": azure.account, "keys": [OTHER_KEY]}])
    azure.release()
    row = completed(bm, backup)
    assert row["attempts"] == 1 and store.begun() == 1
    blocks = sent_blocks(azure)
    assert len(blocks) == len(set(blocks))


def identities(tokens, tmp):
    """name -> the environment that leads to it"""
    federated = os.path.join(tmp, "federated")
    with open(federated, "w", opener=lambda p, f: os.open(p, f, 0o644)) as f:
        f.write("federated-token")
    entra = {"AZURE_AUTHORITY_HOST": tokens.http + "/", "AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client"}
    return {
        "AzureImdsToken": {"AZURE_POD_IDENTITY_AUTHORITY_HOST": tokens.http},
        "AppServiceToken": {"IDENTITY_ENDPOINT": tokens.http + "/msi/token", "IDENTITY_HEADER": "identity-secret"},
        "EntraToken": {**entra, "AZURE_FEDERATED_TOKEN_FILE": federated},
        "EntraToken by secret": {**entra, "AZURE_CLIENT_SECRET": "client-secret"},
    }


def by_identity(store, name="store", **config):
    """A destination without a secret: Azure's own chain."""
    whole = {"container": "container", **store.common_config(True), **config}
    store.bm.ctl("destination", "add", name, "--type", "azure_blob", "--config", json.dumps(whole))


@pytest.mark.parametrize("identity", ["AzureImdsToken", "AppServiceToken", "EntraToken", "EntraToken by secret"])
def test_identities(bm, store, azure, tokens, identity):
    azure.change(accept_issued=True)
    by_identity(store, **IN_BLOCKS)
    environment = identities(tokens, bm.tmp)[identity]
    done = bm.ctl("destination", "test", "store", env=environment)
    assert "FAIL" not in done.stdout, done.stdout
    before = len(tokens.state()["azure_issued"])
    backup = backup_of(bm, LARGE, "store")
    worker = bm.worker(**environment)
    store.assert_whole(completed(bm, backup))
    assert {e["authority"] for e in azure.log()} == {"bearer"}
    issued = tokens.state()["azure_issued"]
    assert len(issued) == before + 1 and issued[-1]["operation"] == identity.split()[0]  # one for all requests
    words = ("identity-secret", "client-secret", "federated-token", "eyJ-fake-azure.")
    assert not [text for text in everything_shown(bm, worker) for word in words if word in text]


def test_a_token_that_ends_in_mid_upload(bm, store, azure, tokens):
    azure.change(accept_issued=True)
    by_identity(store, **IN_BLOCKS)
    azure.rule("hold", {"operation": "PutBlock", "nth": 3})
    backup = backup_of(bm, LARGE, "store")
    bm.worker(AZURE_POD_IDENTITY_AUTHORITY_HOST=tokens.http)
    azure.wait_holding()
    azure.credentials(expire=["issued-1"])
    azure.release()
    row = completed(bm, backup)
    assert row["attempts"] == 1 and store.begun() == 1
    assert [line["name"] for line in tokens.state()["azure_issued"]] == ["issued-1", "issued-2"]
    assert {e["credential"] for e in azure.log("PutBlockList")} == {"issued-2"}
    blocks = sent_blocks(azure)
    assert len(blocks) == len(set(blocks))


@pytest.mark.parametrize("fault", [
    {"type": "respond", "status": 401, "code": "invalid_client"},
    {"type": "respond", "status": 429, "code": "too_many", "headers": {"Retry-After": "1"}},
    {"type": "respond", "status": 503, "code": "busy"},
    {"type": "garbage"},
    {"type": "truncate"},
    {"type": "close_request", "reset": True},
    {"type": "slow", "ms": 1, "bytes": 7},
    {"type": "alter", "replace": {'"access_token"': '"access"'}},
    {"type": "alter", "replace": {'"expires_on"': '"ends"', '"expires_in"': '"lasts"'}},
], ids=lambda f: f["type"] + str(f.get("status", "")))  # fmt: skip
@pytest.mark.parametrize("identity", ["AzureImdsToken", "EntraToken"])
def test_token_services_that_misbehave_once(bm, store, azure, tokens, identity, fault):
    """The copy is made in the end, whatever the first answer was."""
    azure.change(accept_issued=True)
    by_identity(store)
    tokens.rule(fault, {"operation": identity})
    backup = backup_of(bm, SMALL, "store")
    bm.worker(BM_MAX_ATTEMPTS="5", **identities(tokens, bm.tmp)[identity])
    ended = bm.wait_ended(backup)["status"]
    if ended == "failed":  # a refusal is final: it was said so, and the next try is a person's
        row = bm.rows(backup)[0]
        assert fault.get("status") == 401 and row["error_code"] == "denied", row
        bm.ctl("backup", "retry", backup)
    store.assert_whole(completed(bm, backup))


def test_identities_that_are_refused_say_why(bm, store, azure, tokens):
    by_identity(store)
    entra = {**identities(tokens, bm.tmp)["EntraToken by secret"], "AZURE_CLIENT_SECRET": "not-the-client-secret"}
    done = bm.ctl("destination", "test", "store", env=entra, check=False)
    assert done.returncode == 1 and "AADSTS7000215" in done.stdout and "not-the-client-secret" not in done.stdout, done.stdout
    tokens.change(azure={"identity": None})
    done = bm.ctl("destination", "test", "store", env={"AZURE_POD_IDENTITY_AUTHORITY_HOST": tokens.http}, check=False)
    assert done.returncode == 1 and "no such identity" in done.stdout, done.stdout
    tokens.change(azure={"identity": "system-client"})
    azure.change(accept_issued=True)
    azure.rule({"type": "respond", "status": 403, "code": "AuthorizationPermissionMismatch"}, {"operation": "PutBlob", "count": 0})
    done = bm.ctl("destination", "test", "store", env={"AZURE_POD_IDENTITY_AUTHORITY_HOST": tokens.http}, check=False)
    assert done.returncode == 1 and "Storage Blob Data Contributor" in done.stdout, done.stdout


def test_tokens_are_not_sent_in_the_clear(bm, tokens):
    """http is for this machine only, where an emulator may run; a token for elsewhere isn't even asked for."""
    config = {"container": "container", "endpoint": "http://store.invalid/account"}
    bm.ctl("destination", "add", "store", "--type", "azure_blob", "--config", json.dumps(config))
    done = bm.ctl("destination", "test", "store", env={"AZURE_POD_IDENTITY_AUTHORITY_HOST": tokens.http}, check=False)
    assert done.returncode == 1 and "https" in done.stdout and not tokens.log(), done.stdout


# -- what was begun and not ended


def test_sweep_lists_what_was_never_ended(bm, store, azure):
    """Names with blocks alone, ours only; Azure drops them itself, which is what is said."""
    store.destination(prefix="ours", **IN_BLOCKS)
    store.fails_for_ever("broken", "PutBlock", key="^ours/data/", nth=3)
    backup = store.backup_of(LARGE)
    bm.worker(BM_RETRY_BASE_MS="600000", BM_RETRY_CAP_MS="600000")
    wait_for(lambda: bm.rows(backup)[0]["attempts"] == 1 and bm.rows(backup)[0]["status"] == "pending", 60)
    client = azure.endpoint().client()
    for name in ("ours/forgotten", "theirs/file", "oursnot"):
        client.blob("container", name).stageBlock("AAAA", b"1", 1)
    client.put("container", "ours/empty", b"")
    listed = {u["key"]: u for u in bm.ctl("destination", "sweep", "store", "--dry-run", json=True)}
    assert set(listed) == {bm.rows(backup)[0]["file_path"], "ours/forgotten"}, listed
    swept = {u["key"]: u for u in bm.ctl("destination", "sweep", "store", "--older-than", "0", json=True)}
    assert swept[bm.rows(backup)[0]["file_path"]]["state"].startswith("kept"), swept
    azure.clear_rules()
    bm.query("UPDATE backup_destinations SET next_attempt_at = now() WHERE status = 'pending'")
    assert set(azure.objects()) == {"ours/empty"}


@pytest.mark.parametrize(
    "config, word",
    [
        ({"endpoint": "https://x"}, "container"),
        ({"container": "Bad_Name", "account": "acc"}, "container"),
        ({"container": "ccc"}, "account"),
        ({"container": "ccc", "account": "A"}, "account"),
        ({"container": "ccc", "account": "acc", "endpoint": "ftp://x"}, "endpoint"),
        ({"container": "ccc", "account": "acc", "colour": "red"}, "colour"),
        ({"container": "ccc", "account": "acc", "part_size": "1KiB"}, "part_size"),
        ({"container": "ccc", "account": "acc", "tier": "Frozen"}, "tier"),
        ({"container": "ccc", "account": "acc", "account_key": "aHVzaA=="}, "credentials_ref"),
        ({"container": "ccc", "account": "acc", "sas_token": "sig=aHVzaA=="}, "credentials_ref"),
        ({"container": "ccc", "account": "acc", "immutability_mode": "soft"}, "immutability_mode"),
    ],
)
def test_bad_settings_are_refused_by_name(bm, config, word):
    done = bm.ctl("destination", "add", "bad", "--type", "azure_blob", "--config", json.dumps(config), check=False)
    if config == {"container": "ccc"}:  # a connection string may bring the account
        assert done.returncode == 0
        return
    assert done.returncode == 2 and word in done.stderr and "aHVzaA" not in done.stderr, done.stderr
    assert not bm.query("SELECT FROM destinations")
