"""Workers on several machines, each with a staging directory that the others can't see."""

import os

import pytest

from harness.waiting import wait_for


@pytest.fixture
def source(bm):
    runs = os.path.join(bm.tmp, "runs")
    bm.command_database("notes", "sh", "-c", f"echo run >>{runs}; date +%N; seq 20000")
    return lambda: len(open(runs).readlines()) if os.path.exists(runs) else 0


def on(bm, host, **env):
    return bm.worker(BM_HOST=host, BM_STAGING_DIR=bm.directory(f"staging-{host}"), **env)


def away(base):
    os.rename(base, base + ".away")


def back(base):
    os.rename(base + ".away", base)


def parked_for(bm, host):
    """Jobs that wait for a host; its list is named by host and staging directory."""
    redis = bm.redis.client()
    return sum(redis.llen(key) for key in redis.keys(f"bm:{{default}}:parked:host:{host}*"))


def host_of(backup):
    return backup["artifact_host"].split(":")[0]


def test_handed_to_the_host_that_has_it(bm, source):
    base = bm.destination("disk")
    bm.assign("notes", "disk")
    away(base)
    # leases long enough that a stopped worker is not yet a dead one
    first = on(bm, "alpha", BM_LEASE_SECONDS="60", BM_MAX_ATTEMPTS="1000", BM_RETRY_BASE_MS="1000")
    backup = bm.run("notes")

    def stopped_between_attempts():
        row = bm.rows(backup)[0]
        if row["attempts"] == 0 or row["status"] != "pending":
            return False
        first.pause()
        wait_for(lambda: not bm.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                                      "AND state = 'active' AND application_name LIKE 'backup-worker%'"))  # fmt: skip
        place = bm.redis.client().hget("bm:{default}:jobs", f"upload:{row['id']}") or ""
        if bm.rows(backup)[0]["status"] == "pending" and place.startswith(("retry:", "ready:")):
            return True
        first.resume()
        return False

    wait_for(stopped_between_attempts, what=lambda: bm.describe(backup))
    back(base)
    spent = bm.rows(backup)[0]["attempts"]
    on(bm, "beta", BM_LEASE_SECONDS="60", BM_HANDOVER_SECONDS="600")
    wait_for(lambda: parked_for(bm, "alpha") == 1, what=lambda: bm.describe(backup))
    assert bm.rows(backup)[0]["attempts"] == spent
    first.resume()
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    bm.assert_whole(row)
    assert row["attempts"] == spent + 1
    assert source() == 1 and host_of(bm.backup(backup)) == "alpha"


def half_done(bm):
    """A backup with one completed and one waiting copy, made on host alpha, which then dies."""
    good, bad = bm.destination("good"), bm.destination("bad", "--priority", "1")
    bm.assign("notes", "good", "bad")
    away(bad)
    first = on(bm, "alpha", BM_MAX_ATTEMPTS="1000", BM_RETRY_BASE_MS="500")
    backup = bm.run("notes")
    wait_for(lambda: bm.rows(backup)[0]["status"] == "completed" and bm.rows(backup)[1]["attempts"] >= 1,
             what=lambda: bm.describe(backup))  # fmt: skip
    first.kill()
    back(bad)
    return backup, good, bad


def test_sibling_copy(bm, source):
    backup, good, bad = half_done(bm)
    generation = bm.backup(backup)["artifact_fence"]
    on(bm, "beta", BM_HANDOVER_SECONDS="600")
    ended = bm.wait_ended(backup)
    assert ended["status"] == "completed", bm.describe(backup)
    for row in bm.rows(backup):
        bm.assert_whole(row, ended["artifact_sha256"])
    assert source() == 1 and ended["artifact_fence"] == generation
    bm.assert_tidy(good, bad, bm.directory("staging-beta"))
    bm.fsck()


def test_spoilt_sibling_is_not_copied(bm, source):
    """A completed sibling whose bytes have changed since is no source; the row fails and names the host that has it."""
    backup, good, bad = half_done(bm)
    row = bm.rows(backup)[0]
    path = os.path.join(good, row["file_path"])
    os.chmod(path, 0o600)
    with open(path, "r+b") as f:
        f.seek(row["file_size"] // 2)
        f.write(b"\xff\x00spoilt")
    on(bm, "beta", BM_HANDOVER_SECONDS="1", BM_MAX_ATTEMPTS="5")
    ended = bm.wait_ended(backup)
    assert ended["status"] == "partial", bm.describe(backup)
    assert "alpha" in bm.rows(backup)[1]["error_message"]
    assert source() == 1
    bm.assert_tidy(good, bad)


def test_no_sibling_in_reach(bm, source):
    backup, good, bad = half_done(bm)
    away(good)
    on(bm, "beta", BM_HANDOVER_SECONDS="1", BM_MAX_ATTEMPTS="5")
    ended = bm.wait_ended(backup)
    assert ended["status"] == "partial", bm.describe(backup)
    assert "alpha" in bm.rows(backup)[1]["error_message"]


@pytest.mark.parametrize("forgotten", [False, True])
def test_new_generation(bm, source, forgotten):
    """No copy completed and the producer's host is gone: dumped anew, and every copy holds the new dump. Forgotten: Redis
    doesn't know its name either, so that both rows wait for it from the same moment on."""
    bases = [bm.destination("one"), bm.destination("two", "--priority", "1")]
    bm.assign("notes", "one", "two")
    for base in bases:
        away(base)
    first = on(bm, "alpha", BM_MAX_ATTEMPTS="1000", BM_RETRY_BASE_MS="500")
    backup = bm.run("notes")
    wait_for(lambda: all(row["attempts"] >= 1 for row in bm.rows(backup)), what=lambda: bm.describe(backup))
    old = bm.backup(backup)
    first.kill()
    if forgotten:
        bm.redis.client().delete("bm:{default}:workers")
    for base in bases:
        back(base)
    on(bm, "beta")
    ended = bm.wait_ended(backup)
    assert ended["status"] == "completed", bm.describe(backup)
    assert source() == 2
    assert ended["artifact_fence"] > old["artifact_fence"] and host_of(ended) == "beta"
    assert ended["artifact_sha256"] != old["artifact_sha256"]
    for row in bm.rows(backup):
        bm.assert_whole(row, ended["artifact_sha256"])
    bm.assert_tidy(*bases)
    bm.fsck()


def test_queue_of_one_host(bm, source):
    """A disk that only one host can reach has its own queue; that host takes the bytes from the sibling."""
    bm.destination("main")
    nas = bm.destination("nas", "--queue", "nas", "--priority", "1", type="local_external")
    bm.assign("notes", "main", "nas")
    on(bm, "alpha", BM_QUEUES="default")
    on(bm, "beta", BM_QUEUES="nas", BM_HANDOVER_SECONDS="2")
    backup = bm.run("notes")
    ended = bm.wait_ended(backup)
    assert ended["status"] == "completed", bm.describe(backup)
    for row in bm.rows(backup):
        bm.assert_whole(row, ended["artifact_sha256"])
    assert source() == 1
    bm.assert_tidy(nas)
