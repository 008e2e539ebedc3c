"""One of two destinations can't be written: the other is unaffected, the failure is visible, and a retry after the
repair needs no new dump."""

import json
import os

import pytest

WATCH = """
CREATE TABLE history (at timestamptz DEFAULT now(), id integer, status text, attempts integer,
                      next_attempt_at timestamptz, error_message text);
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO history (id, status, attempts, next_attempt_at, error_message)
    VALUES (NEW.id, NEW.status, NEW.attempts, NEW.next_attempt_at, NEW.error_message);
    RETURN NULL;
END $$;
CREATE TRIGGER remember AFTER UPDATE OF status ON backup_destinations FOR EACH ROW EXECUTE FUNCTION remember();
"""


@pytest.fixture
def source(bm):
    """A command that counts its runs and prints a file that the test may change."""
    path, runs = os.path.join(bm.tmp, "content"), os.path.join(bm.tmp, "runs")
    with open(path, "w") as f:
        f.write("first\n" * 10000)
    bm.command_database("notes", "sh", "-c", f"echo run >>{runs}; cat {path}")

    class Source:
        def change(self):
            with open(path, "w") as f:
                f.write("second\n" * 5000)

        def runs(self):
            with open(runs) as f:
                return len(f.readlines())

    return Source()


def break_one(bm):
    good, bad = bm.destination("good"), bm.destination("bad", "--priority", "1", type="local_external")
    bm.assign("notes", "good", "bad")
    os.chmod(bad, 0o500)
    return good, bad


@pytest.mark.skipif(os.geteuid() == 0 and not __import__("harness.processes").processes.unprivileged_root(),
                    reason="root that can't give up CAP_DAC_OVERRIDE may write everywhere")  # fmt: skip
def test_partial_then_retry(bm, source, wait_for):
    good, bad = break_one(bm)
    bm.query(WATCH)
    worker = bm.worker(BM_MAX_ATTEMPTS="3")
    backup = bm.run("notes")
    assert bm.wait_ended(backup)["status"] == "partial", bm.describe(backup)
    row_good, row_bad = bm.rows(backup)
    bm.assert_whole(row_good)
    assert row_good["attempts"] == 1
    assert (row_bad["status"], row_bad["attempts"]) == ("failed", 3)
    assert bad in row_bad["error_message"] or "ermission" in row_bad["error_message"], row_bad
    assert row_bad["checksum"] is None and row_bad["upload_completed_at"] is None

    # what an operator saw in between: pending again, with the reason, the count and the time of the next attempt
    waits = bm.query("SELECT * FROM history WHERE id = %s AND status = 'pending' ORDER BY at", row_bad["id"])
    assert [wait["attempts"] for wait in waits] == [1, 2]
    for wait in waits:
        assert wait["next_attempt_at"] > wait["at"] and wait["error_message"]
    redis = bm.redis.client()
    wait_for(lambda: redis.llen("bm:{default}:dead") == 1)
    assert json.loads(redis.lindex("bm:{default}:dead", 0))["attempt"] == 3

    os.chmod(bad, 0o700)
    source.change()
    bm.ctl("backup", "retry", backup)
    ended = bm.wait_ended(backup)
    assert ended["status"] == "completed", bm.describe(backup)
    assert source.runs() == 1
    first, second = bm.rows(backup)
    assert first["checksum"] == second["checksum"] == ended["artifact_sha256"]
    bm.assert_whole(first)
    bm.assert_whole(second)
    assert first["upload_completed_at"] == row_good["upload_completed_at"]  # the good copy was left alone
    assert second["error_message"] is None
    bm.assert_tidy(good, bad)
    bm.fsck()
    worker.terminate()


def test_retry_names_one_destination(bm, source):
    bases = [bm.destination(name) for name in ("a", "b", "c")]
    bm.assign("notes", "a", "b", "c")
    for base in bases[1:]:
        os.rename(base, base + ".away")
    bm.worker(BM_MAX_ATTEMPTS="2")
    backup = bm.run("notes")
    assert bm.wait_ended(backup)["status"] == "partial"
    for base in bases[1:]:
        os.rename(base + ".away", base)
    bm.ctl("backup", "retry", backup, "--destination", "c")
    bm.wait_ended(backup)
    assert [row["status"] for row in bm.rows(backup)] == ["completed", "failed", "completed"]
    assert bm.backup(backup)["status"] == "partial"
    assert source.runs() == 1
    bm.fsck()


def test_repaired_while_it_retries(bm, source, wait_for):
    """A disk that comes back before the last attempt needs nobody's help."""
    base = bm.destination("disk")
    bm.assign("notes", "disk")
    os.rename(base, base + ".away")
    bm.worker(BM_MAX_ATTEMPTS="1000")
    backup = bm.run("notes")
    wait_for(lambda: bm.rows(backup)[0]["attempts"] >= 3)
    os.rename(base + ".away", base)
    assert bm.wait_ended(backup)["status"] == "completed"
    row = bm.rows(backup)[0]
    bm.assert_whole(row)
    assert row["attempts"] >= 3 and row["error_message"] is None
    assert source.runs() == 1


def test_wrong_disk_is_not_written(bm, source):
    """The empty directory under a mount point is not the disk that was configured."""
    base = bm.destination("nas", type="local_external")
    bm.assign("notes", "nas")
    os.rename(base, base + ".unmounted")
    os.mkdir(base)
    bm.worker(BM_MAX_ATTEMPTS="2")
    backup = bm.run("notes")
    assert bm.wait_ended(backup)["status"] == "failed"
    assert bm.rows(backup)[0]["error_message"]
    assert os.listdir(base) == []
    os.rmdir(base)
    os.rename(base + ".unmounted", base)
    bm.ctl("backup", "retry", backup)
    assert bm.wait_ended(backup)["status"] == "completed"
    bm.assert_whole(bm.rows(backup)[0])


def test_destination_moved_before_retry(bm, source):
    """A retry uses the destination's present settings only for the connection: what the row says stays."""
    base = bm.destination("disk")
    bm.assign("notes", "disk")
    os.rename(base, base + ".away")
    bm.worker(BM_MAX_ATTEMPTS="1")
    backup = bm.run("notes")
    assert bm.wait_ended(backup)["status"] == "failed"
    path = bm.rows(backup)[0]["file_path"]
    os.rename(base + ".away", base)
    bm.ctl("backup", "retry", backup)
    assert bm.wait_ended(backup)["status"] == "completed"
    row = bm.rows(backup)[0]
    assert (row["base_path"], row["file_path"]) == (base, path)
    bm.assert_whole(row)


def test_no_destination_is_a_failure(bm, source):
    bm.worker()
    bm.ctl("backup", "run", "notes", check=False)
    bm.wait_ended(bm.value("SELECT id FROM backups"))
    row = bm.query("SELECT * FROM backups")[0]
    assert row["status"] == "failed" and "destination" in row["error_message"]
    assert not os.path.exists(os.path.join(bm.tmp, "runs"))


def test_the_line_in_redis_tells_the_attempt(bm, source, wait_for):
    """Who looks into the retry set sees which attempt comes next."""
    base = bm.destination("disk")
    bm.assign("notes", "disk")
    os.rename(base, base + ".away")
    bm.worker(BM_RETRY_BASE_MS="3600000", BM_RETRY_CAP_MS="3600000")
    bm.run("notes")
    redis = bm.redis.client()
    wait_for(lambda: [json.loads(line)["attempt"] for line in redis.zrange("bm:{default}:retry", 0, -1)] == [2])
