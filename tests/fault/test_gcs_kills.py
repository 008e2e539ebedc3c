"""A worker is killed with -9 in the middle of a resumable upload, at each of its stages: the next one asks the store how much
it has and sends the rest, in the same session; until all is there, nothing stands under the final name."""

import pytest

from harness import object_stores
from harness.object_stores import LARGE, MIB
from harness.waiting import wait_for

UNIT = 256 * 1024


@pytest.fixture
def store(bm):
    with object_stores.opened("gcs", bm) as opened:
        yield opened


def killed_at(bm, store, action, match, recorded=True):
    """A backup whose first worker died while the store was holding this request, for ever: the store has seen no end."""
    store.fake.rule({"type": "hold", **action}, match)
    backup = store.backup_of(LARGE)
    worker = bm.worker()
    store.fake.wait_holding()
    if recorded:
        wait_for(lambda: bm.rows(backup)[0]["resume_state"], 60, lambda: bm.describe(backup))
    worker.kill()
    return backup


def next_worker_completes(bm, store, backup):
    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    store.assert_whole(row)
    store.fake.release()
    assert len(store.fake.objects()) == 1
    bm.fsck()
    return row


@pytest.mark.parametrize("arrived", [0, 100_000, 7 * MIB + 77])
def test_in_the_middle_of_a_request(bm, store, arrived):
    store.destination()
    backup = killed_at(bm, store, {"at": "body", "bytes": arrived}, {"operation": "UploadChunk"})
    assert not store.fake.objects()
    row = next_worker_completes(bm, store, backup)
    first, second = store.fake.log("UploadChunk")
    kept = arrived - arrived % UNIT
    assert second["content_range"].split()[1].partition("-")[0] == str(kept)
    assert second["request_bytes"] == row["file_size"] - kept
    assert store.begun() == 1 and len(store.fake.log("QueryResumable")) == 1 and not store.fake.uploads()
    assert second["session"] == first["session"]


@pytest.mark.parametrize("number", [1, 3])
def test_between_two_requests(bm, store, number):
    """What the store has taken and not yet acknowledged isn't sent again either."""
    store.destination(**store.in_parts)
    backup = killed_at(bm, store, {"at": "answer"}, {"operation": "UploadChunk", "nth": number})
    assert not store.fake.objects()
    row = next_worker_completes(bm, store, backup)
    assert sum(e["request_bytes"] for e in store.fake.log("UploadChunk")) == row["file_size"]
    assert store.begun() == 1 and not store.fake.uploads()


def test_when_all_is_there_and_nobody_knows(bm, store):
    """The last answer never came: the object is looked at, and is ours."""
    store.destination()
    backup = killed_at(bm, store, {"at": "answer"}, {"operation": "UploadChunk"})
    made = store.fake.objects()
    assert len(made) == 1
    next_worker_completes(bm, store, backup)
    assert store.fake.objects() == made  # the same generation
    assert len(store.fake.log("UploadChunk")) == 1 and store.begun() == 1


def test_before_the_session_is_known(bm, store):
    """It can't be found again: the next worker begins one of its own, and Google ends the first within a week."""
    store.destination()
    backup = killed_at(bm, store, {"at": "answer"}, {"operation": "StartResumable"}, recorded=False)
    next_worker_completes(bm, store, backup)
    assert [upload["kept"] for upload in store.fake.uploads()] == [0]


def test_again_and_again(bm, store):
    """Each life brings some of it, and goes on where the store is."""
    store.destination()
    backup = store.backup_of(LARGE)
    for life in range(4):
        store.fake.rule({"type": "hold", "at": "body", "bytes": 3 * MIB + 1000}, {"operation": "UploadChunk"}, id=f"life-{life}")
        worker = bm.worker()
        store.fake.wait_holding(count=life + 1)
        wait_for(lambda: bm.rows(backup)[0]["resume_state"], 60, lambda: bm.describe(backup))
        worker.kill()
    row = next_worker_completes(bm, store, backup)
    chunks = store.fake.log("UploadChunk")
    assert [int(e["content_range"].split()[1].partition("-")[0]) for e in chunks] == [life * 3 * MIB for life in range(5)]
    assert chunks[-1]["request_bytes"] == row["file_size"] - 12 * MIB
    assert store.begun() == 1 and not store.fake.uploads()
