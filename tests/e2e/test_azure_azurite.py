"""azure_blob at a server written by others that checks signatures and digests, Azurite, over http and https and with every
kind of credential it can tell apart; what was written is read back by a client that isn't ours."""

import base64
import hashlib
import json
import os

import pytest

from harness.api import assert_downloads
from harness.azurite import OTHER_KEY
from harness.object_stores import AzureStore, MIB, backup_of, everything_shown, secret_file
from harness.waiting import wait_for

IN_BLOCKS = AzureStore.in_parts
_numbers = iter(range(1, 1 << 30))


@pytest.fixture(params=["http", "https"])
def azurite_either(request):
    return request.getfixturevalue("azurite" if request.param == "http" else "azurite_tls")


def credential(server, kind, container):
    """(the secret's text, does it bring the endpoint itself)"""
    return {
        "key": (server.key, False),
        "json": (json.dumps({"account_name": server.account, "account_key": server.key}), False),
        "connection string": (server.connection_string, True),
        "SAS of the account": (server.sas(), False),
        "SAS of the container": ("?" + server.sas(container=container), False),
        "connection string with SAS": (
            f"BlobEndpoint={server.url};SharedAccessSignature={server.sas(container=container)}", True),
    }[kind]  # fmt: skip


KINDS = ["key", "json", "connection string", "SAS of the account", "SAS of the container", "connection string with SAS"]


@pytest.fixture
def place(bm):
    """place(server, kind, name): a new container as a destination; gives the container"""

    def make(server, kind="key", name="store", **config):
        container = server.container(f"bm-{os.getpid()}-{next(_numbers)}")
        text, whole = credential(server, kind, container)
        settings = {"container": container, **({} if whole else {"endpoint": server.url}), **config}
        if server.tls:
            settings["ca_file"] = server.ca_file
        bm.ctl("destination", "add", name, "--type", "azure_blob", "--credentials-ref",
               secret_file(bm, f"secret-{container}", text), "--config", json.dumps(settings))  # fmt: skip
        return container

    return make


def completed(bm, backup):
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    return bm.rows(backup)


def uncommitted(client, container, name):
    """ids of the blocks that wait for their list"""
    from harness.azure_sdk import AzureError

    try:
        return [b["name"] for b in client.blob(container, name).getBlockList("uncommitted").get("uncommittedBlocks", [])]
    except AzureError as e:
        assert e.status == 404
        return []


@pytest.mark.parametrize("size", [0, 1000, 30 * MIB])
def test_every_kind_of_credential(bm, azurite_either, place, size):
    """One backup, six destinations: written, seen, read back, verified, restored and deleted."""
    server = azurite_either
    containers = {kind: place(server, kind, kind.replace(" ", "-"), **IN_BLOCKS) for kind in KINDS}
    names = [kind.replace(" ", "-") for kind in KINDS]
    for name in names:
        done = bm.ctl("destination", "test", name)
        assert "FAIL" not in done.stdout and done.stdout.count("OK") >= 5, done.stdout
    backup = backup_of(bm, size, *names)
    worker = bm.worker()
    for row in completed(bm, backup):
        container = containers[row["storage_name"].replace("-", " ")]
        client = server.client()
        assert row["attempts"] == 1 and row["checksum"] == bm.backup(backup)["artifact_sha256"]
        assert client.sha256(container, row["file_path"]) == (row["checksum"], row["file_size"])
        found = client.head(container, row["file_path"])
        assert found["metadata"]["sha256"] == row["checksum"]
        content = client.get(container, row["file_path"])
        assert found["contentMD5"] == hashlib.md5(content).digest()
        blocks = client.blob(container, row["file_path"]).getBlockList("all")
        assert len(blocks.get("committedBlocks", [])) == (8 if size == 30 * MIB else 0), blocks
        assert not blocks.get("uncommittedBlocks") and client.names(container) == [row["file_path"]]
    assert bm.ctl("backup", "verify", backup, "--deep").returncode == 0
    assert_downloads(bm, backup)
    out = os.path.join(bm.directory("restored"), "out")
    os.chmod(os.path.dirname(out), 0o777)
    bm.ctl("backup", "restore", backup, "--from", names[-1], "--output", out, "--decode")
    with open(out, "rb") as f, open(os.path.join(bm.tmp, "data.data"), "rb") as g:
        assert f.read() == g.read()
    bm.ctl("backup", "delete", backup)
    assert not [name for container in containers.values() for name in server.client().names(container)]
    assert not [text for text in everything_shown(bm, worker) if server.key in text or "sig=" in text]


def test_the_account_in_the_hosts_name(bm, azurite, place):
    """As at Azure: the account isn't in the path, and in what is signed only once."""
    container = place(azurite, endpoint=azurite.host_url, account=azurite.account, **IN_BLOCKS)
    backup = backup_of(bm, 20 * MIB, "store")
    bm.worker()
    row = completed(bm, backup)[0]
    assert azurite.client().sha256(container, row["file_path"])[0] == row["checksum"]
    assert bm.ctl("backup", "verify", backup, "--deep").returncode == 0


def test_tier_and_tags(bm, azurite, place):
    container = place(azurite, tier="Cool", tags={"team": "db"}, **IN_BLOCKS)
    for number, size in enumerate((1000, 20 * MIB)):
        backup = backup_of(bm, size, "store", name=f"data{number}")
        bm.worker() if number == 0 else None
        row = completed(bm, backup)[0]
        found = azurite.client().head(container, row["file_path"])
        assert found["accessTier"] == "Cool" and found["tagCount"] == 1
        assert azurite.client().blob(container, row["file_path"]).getTags()["tags"] == {"team": "db"}


def test_the_chain_finds_what_the_environment_has(bm, azurite):
    """No credentials_ref: Azure's own variables."""
    container = azurite.container(f"bm-{os.getpid()}-{next(_numbers)}")
    bm.ctl("destination", "add", "store", "--type", "azure_blob", "--config",
           json.dumps({"container": container, "endpoint": azurite.url}))  # fmt: skip
    for environment in (
        {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string},
        {"AZURE_STORAGE_ACCOUNT": azurite.account, "AZURE_STORAGE_KEY": azurite.key},
        {"AZURE_STORAGE_KEY": azurite.key},
        {"AZURE_STORAGE_ACCOUNT": azurite.account, "AZURE_STORAGE_SAS_TOKEN": azurite.sas(container=container)},
    ):
        done = bm.ctl("destination", "test", "store", env=environment, check=False)
        assert done.returncode == 0, (list(environment), done.stdout)
    wrong = {"AZURE_STORAGE_KEY": OTHER_KEY}
    done = bm.ctl("destination", "test", "store", env=wrong, check=False)
    assert done.returncode == 1 and "403" in done.stdout and OTHER_KEY not in done.stdout, done.stdout


def test_a_wrong_key_and_a_container_that_is_not_there(bm, azurite_either, place):
    server = azurite_either
    container = place(server)
    secret_file(bm, f"secret-{container}", OTHER_KEY)
    backup = backup_of(bm, 1000, "store")
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["attempts"] == 1 and row["error_code"] == "denied" and container in row["error_message"], row["error_message"]
    assert OTHER_KEY not in json.dumps(bm.rows(backup), default=str)
    ref = secret_file(bm, "the-right-one", server.key)
    settings = {"container": "nowhere", "endpoint": server.url, **({"ca_file": server.ca_file} if server.tls else {})}
    bm.ctl("destination", "update", "store", "--credentials-ref", ref, "--config", json.dumps(settings))
    bm.ctl("backup", "retry", backup)
    assert bm.wait_ended(backup)["status"] == "failed"
    row = bm.rows(backup)[0]
    assert row["error_code"] == "not_found" and "ContainerNotFound" in row["error_message"], row["error_message"]
    done = bm.ctl("destination", "test", "store", check=False)
    assert done.returncode == 1 and "container 'nowhere' isn't there" in done.stdout, done.stdout


@pytest.mark.parametrize("size", [1000, 20 * MIB])
def test_a_blob_that_stands_there(bm, azurite, place, size):
    """Equal: done without sending. Different: never replaced."""
    container = place(azurite, **IN_BLOCKS)
    bm.ctl("queue", "pause")
    other = backup_of(bm, size, "store")
    name = bm.rows(other)[0]["file_path"]
    azurite.client().put(container, name, b"something else")
    bm.ctl("queue", "resume")
    bm.worker()
    assert bm.wait_ended(other)["status"] == "failed"
    row = bm.rows(other)[0]
    assert row["error_code"] == "conflict" and row["attempts"] == 1, row
    assert azurite.client().get(container, name) == b"something else"
    azurite.client().delete(container, name)
    bm.ctl("backup", "retry", other)
    row = completed(bm, other)[0]
    etag = azurite.client().head(container, name)["etag"]
    bm.query("UPDATE backups SET status = 'in_progress' WHERE id = %s", other)
    bm.query("UPDATE backup_destinations SET status = 'pending', next_attempt_at = now() WHERE id = %s", row["id"])
    row = completed(bm, other)[0]
    assert azurite.client().head(container, name)["etag"] == etag  # it was not written again


def test_blocks_that_a_stranger_left(bm, azurite, place):
    """Another client's blocks wait at the name, with ids as long as ours: they are no part of the copy."""
    container = place(azurite, **IN_BLOCKS)
    bm.ctl("queue", "pause")
    backup = backup_of(bm, 20 * MIB, "store")
    name = bm.rows(backup)[0]["file_path"]
    blob = azurite.client().blob(container, name)
    for number in range(3):
        blob.stageBlock(base64.b64encode(b"%024d" % number).decode(), b"not ours", 8)
    bm.ctl("queue", "resume")
    bm.worker()
    row = completed(bm, backup)[0]
    assert azurite.client().sha256(container, name) == (row["checksum"], row["file_size"])
    assert not uncommitted(azurite.client(), container, name)


def test_resume_after_kill(bm, azurite_either, place):
    """kill -9 somewhere in the blocks, twice: what had come isn't sent again, and the copy becomes whole. Until then there
    is no blob by its name."""
    server = azurite_either
    container = place(server, part_size="2MiB", multipart_threshold="2MiB", parallel_parts=2)
    bm.ctl("destination", "update", "store", "--bandwidth-limit", 6 * MIB)  # so slow that the test sees it under way
    backup = backup_of(bm, 60 * MIB, "store")
    name = bm.rows(backup)[0]["file_path"]
    client, came = server.client(), []
    for enough in (4, 12):
        worker = bm.worker()
        wait_for(lambda: len(uncommitted(client, container, name)) >= enough, 60, lambda: bm.describe(backup))
        worker.kill()
        assert set(came) <= set(uncommitted(client, container, name))
        came = uncommitted(client, container, name)
        assert client.head(container, name) is None and client.names(container) == []
    bm.ctl("destination", "update", "store", "--bandwidth-limit", 100 * MIB)
    bm.worker()
    row = completed(bm, backup)[0]
    assert client.sha256(container, name) == (row["checksum"], row["file_size"])
    blocks = client.blob(container, name).getBlockList("all")
    committed = [b["name"] for b in blocks["committedBlocks"]]
    assert set(came) <= set(committed) and not blocks.get("uncommittedBlocks")
    assert len({base64.b64decode(id)[:16] for id in committed}) == 1
    assert row["resume_state"] is None
    bm.fsck()


def test_sweep(bm, azurite, place):
    container = place(azurite, prefix="ours")
    client = azurite.client()
    for name in ("ours/forgotten", "theirs/file"):
        client.blob(container, name).stageBlock("AAAA", b"1", 1)
    client.put(container, "ours/whole", b"")
    listed = bm.ctl("destination", "sweep", "store", "--dry-run", json=True)
    assert [u["key"] for u in listed] == ["ours/forgotten"]
    bm.ctl("destination", "sweep", "store", "--older-than", "0", check=False)
    assert client.names(container) == ["ours/whole"]
