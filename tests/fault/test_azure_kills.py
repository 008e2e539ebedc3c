"""Workers are killed with -9 at every stage of an upload in blocks to Azure: before the list there is no blob by the name,
after it a whole one; blocks that had come are used and not sent again; of blocks that are no part of this upload none gets
into the blob. (test_store_kills.py kills at any moment, beside faults of the store.)"""

import pytest

from harness import object_stores
from harness.object_stores import LARGE
from harness.waiting import wait_for

IN_BLOCKS = object_stores.AzureStore.in_parts

# where the worker is while it is killed: (rule's match, at, blocks that have come by then). The store holds that request
# and gets on with it only when all is over.
STAGES = {
    "looking": ({"operation": "GetBlobProperties"}, "answer", 0),
    "first block under way": ({"operation": "PutBlock"}, "head", 0),
    "first block not answered": ({"operation": "PutBlock"}, "answer", 1),
    "in mid block": ({"operation": "PutBlock", "nth": 3}, "body", 2),
    "blocks not listed": ({"operation": "PutBlockList"}, "head", 5),
    "list not answered": ({"operation": "PutBlockList"}, "answer", 5),
    "blob not confirmed": ({"operation": "GetBlobProperties", "nth": 2}, "head", 5),
}
WITH_A_BLOB = ("list not answered", "blob not confirmed")


@pytest.fixture
def store(bm):
    with object_stores.opened("azure_blob", bm) as opened:
        yield opened


def sent(azure):
    return [e["part"] for e in azure.log("PutBlock") if e["status"] == 201]


def hold(azure, match, at):
    azure.rule({"type": "hold", "at": at, **({"bytes": 1 << 20} if at == "body" else {})}, {**match, "count": 0})


def ids_of(azure, name):
    """The blob is made of blocks (of one upload, as store.assert_whole sees), and nothing waits beside it: their ids."""
    committed = [block["id"] for block in azure.objects()[name]["blocks"]]
    assert len(committed) >= 5 and name not in azure.uncommitted()
    return committed


@pytest.mark.parametrize("stage", STAGES)
def test_kill_at_every_stage(bm, store, stage):
    azure = store.fake
    match, at, came = STAGES[stage]
    hold(azure, match, at)
    store.destination(**IN_BLOCKS)
    backup = store.backup_of(LARGE)
    name = bm.rows(backup)[0]["file_path"]
    first = bm.worker()
    azure.wait_holding()
    first.kill()
    azure.clear_rules()
    assert (name in azure.objects()) == (stage in WITH_A_BLOB)
    before = [b["id"] for o in azure.objects().values() for b in o["blocks"]] or azure.uncommitted().get(name, [])
    assert len(before) >= came
    azure.control("DELETE", "/log")

    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    store.assert_whole(row)
    assert set(before) <= set(ids_of(azure, name))
    assert not set(sent(azure)) & set(before), "blocks that had come were sent again"
    if stage in WITH_A_BLOB:
        assert not sent(azure) and not azure.log("PutBlockList")
    etag = azure.objects()[name]["etag"]
    azure.release()  # the dead worker's request comes to its end, long after the copy was made
    azure.wait_idle()
    store.assert_whole(row)
    assert azure.objects()[name]["etag"] == etag
    bm.fsck()


def test_kill_after_kill(bm, store):
    """Each life gets some blocks further; no block is sent twice in all of them, but for the one that was under way."""
    azure = store.fake
    store.destination(part_size="1MiB", multipart_threshold="1MiB", parallel_parts=1)
    backup = store.backup_of(LARGE)
    name = bm.rows(backup)[0]["file_path"]
    for life in range(5):
        hold(azure, {"operation": "PutBlock", "nth": 4}, "head")
        worker = bm.worker()
        azure.wait_holding()
        assert name not in azure.objects()
        wait_for(lambda: len(azure.uncommitted()[name]) >= 3 * (life + 1), 60, lambda: str(azure.uncommitted()))
        worker.kill()
        azure.clear_rules()
        azure.release()
        azure.wait_idle()
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    store.assert_whole(bm.rows(backup)[0])
    committed = ids_of(azure, name)
    assert len(sent(azure)) <= len(committed) + 5 and store.begun() == 1
    bm.fsck()


def test_two_workers_never_mix_their_blocks(bm, store):
    """One is stopped past its lease, another takes the copy over and ends it; the first wakes up and goes on sending. The
    blob stays as the second has made it, whole, and of one upload."""
    azure = store.fake
    hold(azure, {"operation": "PutBlock", "nth": 3}, "head")
    store.destination(**IN_BLOCKS)
    backup = store.backup_of(LARGE)
    name = bm.rows(backup)[0]["file_path"]
    first = bm.worker(BM_LEASE_SECONDS="2")
    azure.wait_holding()
    first.pause()
    azure.clear_rules()
    bm.worker(BM_LEASE_SECONDS="2")
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    etag = azure.objects()[name]["etag"]
    azure.release()
    first.resume()
    azure.wait_idle()
    first.terminate()
    row = bm.rows(backup)[0]
    store.assert_whole(row)
    assert azure.objects()[name]["etag"] == etag
    bm.fsck()
