"""GET /api/databases/{id}/details: the specification's page over rows of every kind, and what it costs."""

import concurrent.futures
import datetime
import json
import os
import re

import pytest

from harness.api import ApiServer, make_token
from harness.backup_rows import add_backup, add_copy, add_database, add_schedule, insert, write
from harness.dead_mount import SIZE, DeadMount, why_not
from harness.system import REPOSITORY

CHECKSUM = "a3f2b1c4d5" * 6 + "abcd"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
FILE_INFO = {"exists", "absolute_path", "file_size_on_disk", "is_accessible", "error_message"}


class Page:
    """The server, and somebody who may look."""

    def __init__(self, bm):
        self.server = ApiServer(bm)
        self.process = self.server.process
        self.token = make_token(bm, "viewer")

    def ask(self, path, expect=200, **headers):
        answer = self.server.ask("GET", path, token=self.token, headers=headers)
        assert answer.status == expect, answer
        return answer

    def details(self, database, query="", **headers):
        return self.ask(f"/api/databases/{database}/details{query}", **headers).json

    def anew(self, database):
        """As after "reload": nothing that is remembered."""
        return self.details(database, **{"Cache-Control": "no-cache"})

    def problem(self, path, expect):
        answer = self.ask(path, expect)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["status"] == expect and answer.json["detail"]
        return answer.json


@pytest.fixture
def page(bm):
    return Page(bm)


def infos(answer):
    return [c["file_info"] for b in answer["recent_backups"] for c in b["destinations"]]


# -- the specification


def test_specification(bm, page):
    """The page's own example as rows: the answer is the page's, field for field."""
    main, disk = bm.directory("main"), bm.directory("external_hdd")
    local_path = "production/postgresql/backup_20251102_080000.sql.gz"
    disk_path = "backups/production/backup_20251102_080000.sql.gz"
    s3_path = "backups/2025/11/02/backup_20251102_080000.sql.gz"
    write(f"{main}/{local_path}", 35842048)
    write(f"{disk}/{disk_path}", 35842048)
    group = insert(bm, "groups", name="shop", description="what earns the money")
    database = add_database(bm, group_id=group)
    backup = add_backup(bm, database, "production_postgresql_20251102_080000")
    config = '{"bucket":"my-backups","region":"us-east-1"}'
    third = add_copy(bm, backup, "s3", s3_path, storage_name="AWS S3 Backup", file_size=35840000, priority=2,
                     upload_duration_seconds=180, storage_config=config)  # fmt: skip
    second = add_copy(bm, backup, "local_external", disk_path, storage_name="External HDD Backup", base_path=disk,
                      file_size=35840000, priority=1, upload_duration_seconds=120)  # fmt: skip
    first = add_copy(bm, backup, "local", local_path, storage_name="Main Storage", base_path=main, file_size=35840000,
                     checksum=CHECKSUM, priority=0, upload_duration_seconds=45)  # fmt: skip

    def info(base, path):
        return {"exists": True, "absolute_path": f"{base}/{path}", "file_size_on_disk": 35842048, "is_accessible": True,
                "error_message": None}  # fmt: skip

    answer = page.details(database)
    wanted = {
        "id": backup,
        "name": "production_postgresql_20251102_080000",
        "status": "completed",
        "destinations": [
            {"id": first, "storage_type": "local", "storage_name": "Main Storage", "file_path": local_path,
             "base_path": main, "file_size": 35840000, "checksum": CHECKSUM, "status": "completed", "priority": 0,
             "upload_duration_seconds": 45, "storage_config": None, "file_info": info(main, local_path)},
            {"id": second, "storage_type": "local_external", "storage_name": "External HDD Backup", "file_path": disk_path,
             "base_path": disk, "file_size": 35840000, "checksum": None, "status": "completed", "priority": 1,
             "upload_duration_seconds": 120, "storage_config": None, "file_info": info(disk, disk_path)},
            {"id": third, "storage_type": "s3", "storage_name": "AWS S3 Backup", "file_path": s3_path, "base_path": None,
             "file_size": 35840000, "checksum": None, "status": "completed", "priority": 2,
             "upload_duration_seconds": 180, "storage_config": config, "file_info": None},
        ],
        "storage_type": "local",
        "file_path": local_path,
        "file_size": 35840000,
        "checksum": CHECKSUM,
    }  # fmt: skip
    (shown,) = answer["recent_backups"]
    assert {k: shown[k] for k in wanted if k != "destinations"} == {k: v for k, v in wanted.items() if k != "destinations"}
    assert len(shown["destinations"]) == 3
    more = {"error_message", "error_code", "attempts", "next_attempt_at", "bytes_done", "verified_at", "verification_result",
            "upload_started_at", "upload_completed_at", "created_at", "updated_at", "destination_id", "origin", "queue"}  # fmt: skip
    for given, copy in zip(shown["destinations"], wanted["destinations"]):
        assert {k: given[k] for k in copy} == copy
        assert set(given) == set(copy) | more
        assert TIME.fullmatch(given["created_at"])
    assert isinstance(shown["destinations"][2]["storage_config"], str)  # JSON in a string, as the page shows it
    facts = {"id": database, "name": "production", "db_type": "postgresql", "host": "db.example", "port": 5432,
             "group": {"id": group, "name": "shop", "description": "what earns the money"}}  # fmt: skip
    assert {k: answer["database"][k] for k in facts} == facts


def test_real_backup(bm, page):
    base = bm.destination("disk")
    bm.destination("external", "--priority", 1, type="local_external")
    bm.command_database("greeting", "echo", "hello")
    bm.assign("greeting", "disk", "external")
    backup = bm.run("greeting")
    database = bm.value("SELECT database_id FROM backups WHERE id = %s", backup)
    answer = page.details(database)
    (pending,) = answer["recent_backups"]
    assert [d["status"] for d in pending["destinations"]] == ["pending", "pending"]
    assert infos(answer) == [None, None]
    assert (pending["storage_type"], pending["file_size"]) == ("local", None)
    assert (answer["statistics"]["total"], answer["statistics"]["in_progress"]) == (1, 1)

    bm.worker()
    assert bm.wait_ended(backup)["status"] == "completed"
    answer = page.details(database)
    (shown,) = answer["recent_backups"]
    rows = bm.rows(backup)
    assert shown["status"] == "completed" and shown["file_size"] == rows[0]["file_size"]
    for copy, row in zip(shown["destinations"], rows):
        bm.assert_whole(row)
        assert copy["checksum"] == row["checksum"] and copy["attempts"] == 1
        assert copy["file_info"]["is_accessible"] and copy["file_info"]["file_size_on_disk"] == row["file_size"]
        assert copy["upload_completed_at"] == row["upload_completed_at"].strftime("%Y-%m-%dT%H:%M:%SZ")
    counts = answer["statistics"]
    assert (counts["total"], counts["successful"], counts["in_progress"], counts["completed_copies"]) == (1, 1, 0, 2)
    assert counts["total_size"] == sum(row["file_size"] for row in rows)
    assert counts["last_success_id"] == backup and counts["last_success_at"] == shown["completed_at"]
    assert answer["database"]["last_backup_at"] == shown["completed_at"]
    # another disk under the mount point: the marker is gone
    os.remove(os.path.join(rows[1]["base_path"], ".backupmanager-disk"))
    info = infos(page.anew(database))
    assert info[0]["exists"] and info[0]["absolute_path"].startswith(base)
    assert not info[1]["exists"] and not info[1]["is_accessible"] and info[1]["error_message"]


def test_older_rows(bm, page):
    """What the migration leaves: no base_path, '/' as base_path, legacy columns; and names Path() would read."""
    legacy = bm.env["BM_LEGACY_BASE_PATH"]
    write(f"{legacy}/mysql/old.sql.gz", 7)
    absolute = write(os.path.join(bm.directory("abs"), "old.sql.gz"), 9)
    database = add_database(bm, db_type="mysql", last_backup_at="2024-05-01T02:03:04Z")
    relative = add_backup(bm, database, "one", storage_type="local", file_path="./mysql/old.sql.gz", file_size=7)
    add_copy(bm, relative, "local", "./mysql//old.sql.gz", origin="migrated", storage_name="Primary Storage (migrated)")
    other = add_backup(bm, database, "two", storage_type="local", file_path=absolute, file_size=9, checksum="c0ffee")
    add_copy(bm, other, "local", absolute[1:], base_path="/", origin="migrated")
    bare = add_backup(bm, database, "three", "failed", storage_type="local", file_path="")
    new = add_backup(bm, database, "four", "partial")
    add_copy(bm, new, "s3", "k", "completed", file_size=3, checksum="3", priority=1)
    add_copy(bm, new, "gcs", "g", "failed", priority=0)
    named, root = add_backup(bm, database, "five"), add_backup(bm, database, "six")  # by destination_results
    add_copy(bm, named, "local_external", "shop/5.gz", base_path="/mnt/nas/", origin="migrated", storage_name="/mnt/nas (migrated)")
    add_copy(bm, root, "local_external", "mnt/usb/6.gz", base_path="/", origin="migrated", storage_name="/mnt/nas (migrated)")

    answer = page.details(database)
    shown = {b["id"]: b for b in answer["recent_backups"]}
    assert list(shown) == [root, named, new, bare, other, relative]

    def legacy_fields(backup):
        return tuple(shown[backup][k] for k in ("storage_type", "file_path", "file_size", "checksum"))

    assert legacy_fields(relative) == ("local", "./mysql/old.sql.gz", 7, None)
    assert legacy_fields(other) == ("local", absolute, 9, "c0ffee")
    assert legacy_fields(bare) == ("local", None, None, None) and shown[bare]["destinations"] == []
    assert legacy_fields(new) == ("gcs", "g", None, None)  # the copy that the migration's way down would keep
    assert legacy_fields(named)[:2] == ("local_external", "/mnt/nas/shop/5.gz")
    assert legacy_fields(root)[:2] == ("local_external", "/mnt/usb/6.gz")
    info = shown[relative]["destinations"][0]["file_info"]
    assert (info["exists"], info["absolute_path"]) == (True, f"{legacy}/mysql/old.sql.gz")
    info = shown[other]["destinations"][0]["file_info"]
    assert (info["exists"], info["absolute_path"], info["file_size_on_disk"]) == (True, absolute, 9)


def test_migrated_database(bm, page):
    """A database that the older system filled, by way of the migration itself."""
    legacy = bm.env["BM_LEGACY_BASE_PATH"]
    write(f"{legacy}/shop/a.sql.gz", 11)
    bm.ctl("migrate", "down", "--to", "0")
    bm.query("INSERT INTO users (username, email, hashed_password) VALUES ('capo', 'c@x', 'x')")
    database = add_database_of_the_older_system(bm)
    ids = [
        insert(bm, "backups", name=f"shop_2024010{n}_020000", database_id=database, storage_type=kind, file_path=path,
               file_size=size, status=status, checksum=checksum)
        for n, (kind, path, size, status, checksum) in enumerate((
            ("local", "shop/a.sql.gz", 11, "completed", "aa"),
            ("s3", "shop/b.sql.gz", 12, "completed", None),
            ("local", "", None, "failed", None),
            ("local", "shop/d.sql.gz", None, "in_progress", None)))
    ]  # fmt: skip
    bm.ctl("migrate", "up")
    page.token = make_token(bm, "viewer")
    answer = page.details(database)
    assert [b["id"] for b in answer["recent_backups"]] == ids[::-1]
    first, second = answer["recent_backups"][3], answer["recent_backups"][2]
    (copy,) = first["destinations"]
    assert copy["storage_name"] == "Primary Storage (migrated)" and copy["origin"] == "migrated"
    assert (copy["priority"], copy["status"], copy["file_size"], copy["checksum"]) == (0, "completed", 11, "aa")
    assert copy["file_info"] == {"exists": True, "absolute_path": f"{legacy}/shop/a.sql.gz", "file_size_on_disk": 11,
                                 "is_accessible": True, "error_message": None}  # fmt: skip
    assert (first["storage_type"], first["file_path"], first["file_size"], first["checksum"]) == ("local", "shop/a.sql.gz", 11, "aa")
    assert second["destinations"][0]["file_info"] is None and second["storage_type"] == "s3"
    counts = answer["statistics"]
    assert (counts["total"], counts["successful"], counts["failed"], counts["total_size"]) == (4, 2, 1, 23)


def add_database_of_the_older_system(bm):
    group = insert(bm, "groups", name="old group")
    return insert(bm, "databases", name="shop", db_type="postgresql", host="h", port=5432, group_id=group)


# -- statistics and schedules


def test_statistics(bm, page):
    database, other = add_database(bm), add_database(bm, "other")
    nightly, unused = add_schedule(bm, database, "nightly"), add_schedule(bm, database, "unused")
    zero = {"total": 0, "successful": 0, "failed": 0, "partial": 0, "in_progress": 0}
    empty = page.details(database)["statistics"]
    assert empty == {**zero, "completed_copies": 0, "total_size": 0, "last_success_id": None, "last_success_at": None}
    statuses = ["completed", "failed", "partial", "pending", "in_progress", "completed", "completed", "failed"]
    ids = []
    for n, status in enumerate(statuses):
        ended = f"2026-01-0{n + 1}T10:00:00Z"
        backup = add_backup(bm, database, f"b{n}", status, schedule_id=nightly if n < 6 else None, completed_at=ended)
        ids.append(backup)
        add_copy(bm, backup, "s3", f"a{n}", "completed", file_size=1 << 40)
        add_copy(bm, backup, "s3", f"b{n}", "failed", file_size=7)
    add_backup(bm, other, "elsewhere")
    answer = page.details(database)
    assert answer["statistics"] == {
        "total": 8, "successful": 3, "failed": 2, "partial": 1, "in_progress": 2, "completed_copies": 8,
        "total_size": 8 << 40, "last_success_id": ids[6], "last_success_at": "2026-01-07T10:00:00Z",
    }  # fmt: skip
    schedules = {s["id"]: s for s in answer["schedules"]}
    assert schedules[nightly]["statistics"] == {
        "total": 6, "successful": 2, "failed": 1, "partial": 1, "in_progress": 2,
        "last_success_id": ids[5], "last_success_at": "2026-01-06T10:00:00Z",
    }  # fmt: skip
    assert schedules[unused]["statistics"] == {**zero, "last_success_id": None, "last_success_at": None}

    # what is gone or begun again is no success any more; folded or not
    for fold in (False, True):
        if fold:
            bm.query("SELECT bm_fold_statistics(1000)")
        bm.query("DELETE FROM backups WHERE id = %s", ids[6])
        bm.query("UPDATE backups SET status = 'in_progress' WHERE id = %s", ids[5])
        answer = page.details(database)
        assert answer["statistics"] == {
            "total": 7, "successful": 1, "failed": 2, "partial": 1, "in_progress": 3, "completed_copies": 7,
            "total_size": 7 << 40, "last_success_id": ids[0], "last_success_at": "2026-01-01T10:00:00Z",
        }  # fmt: skip


def seconds(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()


def test_next_runs(bm, page):
    database = add_database(bm)
    add_schedule(bm, database, "a daily one in Rome", cron_expression="30 2 * * *", timezone="Europe/Rome")
    add_schedule(bm, database, "b hourly", schedule_type="interval", cron_expression=None, interval_value="hourly")
    add_schedule(bm, database, "c manual", schedule_type="manual", cron_expression=None)
    add_schedule(bm, database, "d off", is_active=False, next_run_at="2030-01-01T00:00:00Z")
    add_schedule(bm, database, "e wrong", cron_expression="61 * * * *")
    add_schedule(bm, database, "f due", next_run_at="2020-01-01T00:00:00Z")
    add_schedule(bm, database, "g never", next_run_at="infinity", cron_expression="0 0 29 2 *")
    rome, hourly, manual, off, wrong, due, leap = page.details(database)["schedules"]

    runs = [seconds(t) for t in rome["next_runs"]]
    assert len(runs) == 5 and rome["next_run_at"] == rome["next_runs"][0] and rome["schedule_error"] is None
    assert all(22 <= (b - a) / 3600 <= 26 for a, b in zip(runs, runs[1:]))
    from zoneinfo import ZoneInfo

    assert {datetime.datetime.fromtimestamp(r, ZoneInfo("Europe/Rome")).strftime("%H:%M") for r in runs} <= {"02:30", "03:00"}
    runs = [seconds(t) for t in hourly["next_runs"]]
    assert [b - a for a, b in zip(runs, runs[1:])] == [3600] * 4 and runs[0] % 3600 == 0
    for silent in (manual, off, wrong):
        assert (silent["next_run_at"], silent["next_runs"]) == (None, [])
    assert wrong["schedule_error"] and manual["schedule_error"] is None and off["schedule_error"] is None
    assert due["next_run_at"] == due["next_runs"][0] == "2020-01-01T00:00:00Z" and len(due["next_runs"]) == 5
    assert leap["next_runs"][0].endswith("-02-29T00:00:00Z")
    bm.query("UPDATE databases SET is_active = false")
    assert all(s["next_runs"] == [] for s in page.details(database)["schedules"])


# -- files


def test_files_that_are_not_there(bm, page):
    base = bm.directory("base")
    write(f"{base}/here", 5)
    os.symlink("/etc/passwd", f"{base}/link")
    os.mkdir(f"{base}/folder")
    os.mkfifo(f"{base}/fifo")
    os.chmod(write(f"{base}/locked", 5), 0)
    write(f"{base}/notfolder", 5)
    cases = [
        ("here", base, "completed", None),
        ("missing", base, "completed", "the file is not there"),
        ("no/folder/missing", base, "completed", "the file is not there"),
        ("notfolder/x", base, "completed", "stands where a directory is needed"),
        ("x", os.path.join(bm.tmp, "unmounted"), "completed", "mount the disk"),
        ("x", "relative/base", "completed", "not absolute"),
        ("link", base, "completed", "symbolic link"),
        ("folder", base, "completed", "not a regular file"),
        ("fifo", base, "completed", "not a regular file"),
        ("locked", base, "completed", "ermission denied"),
        ("../../etc/passwd", base, "completed", "'..'"),
        ("/etc/passwd", base, "completed", "absolute"),
        ("x\ny", base, "completed", "control character"),
        ("x" * 300, base, "completed", "255 bytes"),
        ("here", base, "failed", ...),
        ("here", base, "pending", ...),
        ("here", base, "uploading", ...),
    ]
    database = add_database(bm)
    backup = add_backup(bm, database, "b", "partial")
    for i, (path, where, status, _) in enumerate(cases):
        add_copy(bm, backup, "local", path, status, base_path=where, priority=i)
    for answer in (page.details(database), page.details(database), page.anew(database)):  # the second from memory
        for (path, where, _, error), info in zip(cases, infos(answer)):
            if error is ...:
                assert info is None
            elif error is None:
                assert info == {"exists": True, "absolute_path": f"{base}/here", "file_size_on_disk": 5,
                                "is_accessible": True, "error_message": None}  # fmt: skip
            else:
                assert set(info) == FILE_INFO
                seen = (True, 5) if path == "locked" else (False, None)  # it is there, and may not be read
                assert ((info["exists"], info["file_size_on_disk"]), info["is_accessible"]) == (seen, False)
                assert error in info["error_message"], (path, where, info)
                if not path.startswith("/"):
                    assert info["absolute_path"] == f"{where}/{path}"


def test_remembered_until_asked_anew(bm, page):
    base = bm.directory("base")
    path = write(f"{base}/f", 5)
    database = add_database(bm)
    add_copy(bm, add_backup(bm, database, "b"), "local", "f", base_path=base)
    assert infos(page.details(database))[0]["file_size_on_disk"] == 5
    write(path, 6)
    assert infos(page.anew(database))[0]["file_size_on_disk"] == 6
    assert infos(page.details(database))[0]["file_size_on_disk"] == 6
    os.remove(path)
    assert infos(page.details(database, **{"Cache-Control": "max-age=0"}))[0]["exists"] is False


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_dead_mount(bm, page, wait_for):
    """A network disk whose server is gone, with several destinations on it: a reason, the rest of the page, other pages,
    and an end in time; and a disk that comes back."""
    mount = DeadMount(bm.directory("nas"), wait_for)
    try:
        well = bm.directory("well")
        database, other = add_database(bm), add_database(bm, "other")
        for n in range(40):
            backup = add_backup(bm, database, f"b{n}")
            add_copy(bm, backup, "local_external", f"f{n}", base_path=f"{mount.path}/d{n % 8}", priority=0)
            add_copy(bm, backup, "local", f"{n}", base_path=well, priority=1)
            write(f"{well}/{n}", n)
        add_copy(bm, add_backup(bm, other, "o"), "local", "1", base_path=well)
        assert all(i["is_accessible"] for i in infos(page.details(database, "?limit=40")))
        assert infos(page.details(database))[0]["file_size_on_disk"] == SIZE

        mount.hang()
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: page.anew(database), range(12)))
            answers += [page.details(database, "?limit=40")]
        for answer in answers:
            for n, (dead, alive) in enumerate(zip(infos(answer)[::2], infos(answer)[1::2])):
                assert (dead["exists"], dead["is_accessible"]) == (False, False)
                assert "answer" in dead["error_message"] and dead["absolute_path"].startswith(mount.path)
                assert alive["is_accessible"]
        assert infos(page.anew(other))[0]["is_accessible"]
        assert page.process.log().count("does not answer") == 1

        mount.answer()
        wait_for(lambda: all(i["is_accessible"] for i in infos(page.anew(database))))
        assert "answers again" in page.process.log()

        mount.hang()
        assert not infos(page.anew(database))[0]["is_accessible"]
        page.process.signal(15)
        page.process.wait_log("ending without it")  # a thread still hangs
        mount.answer()  # FUSE, unlike NFS, lets nobody be killed who waits for it
        page.process.terminate()
    finally:
        mount.close()


# -- pages, errors, cost


def test_no_secret_leaves(bm, page):
    database = add_database(bm)
    backup = add_backup(bm, database, "b", "failed")
    nested = {"bucket": "b", "secret_access_key": "LEAK1", "proxy": {"url": "https://u:LEAK2@h/"}, "credentials_ref": "env:NAME"}
    for i, config in enumerate((json.dumps(nested), '{"password": "LEAK3"', '["LEAK4"]', '{"bucket": "b"}')):
        add_copy(bm, backup, "s3", f"k{i}", "failed", storage_config=config, priority=i)
    answer = page.details(database)
    text = json.dumps([answer, page.ask("/api/databases").json, page.ask(f"/api/databases/{database}").json])
    for secret in ("LEAK", "fernet-secret", "option-secret", "HIDDEN_REFERENCE", "password_encrypted"):
        assert secret not in text
    configs = [d["storage_config"] for d in answer["recent_backups"][0]["destinations"]]
    assert json.loads(configs[0]) == {"bucket": "b", "secret_access_key": "***", "proxy": "***", "credentials_ref": "env:NAME"}
    assert configs[1:] == ["***", "***", '{"bucket": "b"}']
    assert "LEAK" not in page.process.log()


def test_pages(bm, page):
    database, other = add_database(bm), add_database(bm, "other")
    ids = []
    for i in range(30):
        ids.append(add_backup(bm, database, f"b{i}"))
        add_backup(bm, other, f"elsewhere{i}")

    def shown(query=""):
        answer = page.details(database, query)
        return [b["id"] for b in answer["recent_backups"]], answer["next_before"]

    assert shown() == (ids[:19:-1], ids[20])
    assert shown("?limit=30") == (ids[::-1], None)  # all of them: there is no next page
    assert shown(f"?before={ids[10]}") == (ids[9::-1], None)
    assert shown(f"?before={ids[20]}") == (ids[19:9:-1], ids[10])
    assert shown("?limit=1") == (ids[-1:], ids[-1])
    assert shown("?limit=200") == (ids[::-1], None)
    assert shown(f"?before={ids[3]}&limit=20") == (ids[2::-1], None)
    assert shown(f"?before={ids[0]}") == ([], None)
    assert shown("?before=2147483647&limit=2") == (ids[:-3:-1], ids[-2])
    for bad in ("0", "201", "-1", "x", "", "1e2", "99999999999999999999", "1;drop", "%00"):
        errors = page.problem(f"/api/databases/{database}/details?limit={bad}", 400).get("errors")
        assert bad == "%00" or [e["field"] for e in errors] == ["limit"]
    for bad in ("0", "-1", "x", "2147483648"):
        errors = page.problem(f"/api/databases/{database}/details?before={bad}", 400)["errors"]
        assert [e["field"] for e in errors] == ["before"]
    errors = page.problem(f"/api/databases/{database}/details?limit=0&before=x&limits=5", 400)["errors"]
    assert {e["field"] for e in errors} == {"limit", "before", "limits"}


def test_errors(bm, page):
    assert "no database 4711" in page.problem("/api/databases/4711/details", 404)["detail"]
    for bad in ("0", "-1", "x", "1x", "%20", "1%2e", "%ff%fe", "1%27--", "9" * 40):
        answer = page.server.ask("GET", f"/api/databases/{bad}/details", token=page.token)
        assert answer.status in (400, 404) and answer.json["detail"], answer
    assert page.server.ask("GET", "/api/databases/1/details").status == 401


def test_etag(bm, page):
    database = add_database(bm)
    add_backup(bm, database, "b")
    path = f"/api/databases/{database}/details"
    tag = page.ask(path).headers["ETag"]
    assert page.ask(path, 304, **{"If-None-Match": tag}).bytes == b""
    bm.query("UPDATE backups SET status = 'failed'")
    assert page.ask(path, 200, **{"If-None-Match": tag}).headers["ETag"] != tag


def test_statements(bm, page):
    """As many statements for 1 backup as for 60 with three copies each, and for 60 databases as for one."""
    bm.query(f"ALTER DATABASE {bm.database} SET log_statement = 'all'")
    page.process.terminate()
    page = Page(bm)
    database = add_database(bm)
    for i in range(60):
        add_database(bm, f"d{i}")
        backup = add_backup(bm, database, f"b{i}")
        for k in range(3):
            add_copy(bm, backup, "s3", f"{i}/{k}", priority=k)

    def statements(path):
        page.ask(path)  # who asks is known from now on
        before = len(bm.postgres.log())
        page.ask(path)
        return re.findall(r"LOG:\s+(?:execute|statement)\W+(api_\w+)?", bm.postgres.log()[before:])

    for limit in (1, 60):
        assert len(page.details(database, f"?limit={limit}")["recent_backups"]) == limit
        said = statements(f"/api/databases/{database}/details?limit={limit}")
        assert said == ["api_database", "api_statistics", "api_schedules", "api_backups"]
        assert statements(f"/api/databases?limit={limit}") == ["api_databases"]


def test_reads_few_pages(bm, page):
    """With 20,000 backups no statement reads more than the backups that it shows: the plans, by the pages they touch."""
    database, rare = add_database(bm), add_database(bm, "rare")
    bm.query("INSERT INTO backups (name, database_id, status, created_by) SELECT 'b' || n, %s, 'failed', "
             "(SELECT min(id) FROM users) FROM generate_series(1, 20000) n", database)  # fmt: skip
    add_backup(bm, rare, "rare")
    bm.query("SELECT bm_fold_statistics(1000000)")
    bm.query("VACUUM ANALYZE")  # as autovacuum leaves it
    for name, types, values in (
        ("../common/store/catalog_database", "int", "{}"),
        ("details_statistics", "int", "{}"),
        ("details_backups", "int, int, bigint", "{}, 10, NULL"),
        ("details_backups", "int, int, bigint", "{}, 10, 30"),
        ("databases_list", "int, int, int, text, int, boolean, boolean", "NULL, NULL, 50, NULL, NULL, NULL, NULL"),
    ):
        with open(os.path.join(REPOSITORY, "api", f"{name}.sql")) as f:
            bm.query(f"PREPARE q ({types}) AS {f.read()}{' WHERE t.id = $1' if 'catalog' in name else ''}")
        for mode in ("force_custom_plan", "force_generic_plan"):
            bm.query(f"SET plan_cache_mode = {mode}")
            for one in (database, rare, 4711):
                plan = bm.value(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE q ({values.format(one)})")[0]["Plan"]
                pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
                assert pages < 200, (name, mode, one, json.dumps(plan, indent=1))
        bm.query("DEALLOCATE q")


def test_many_at_once(bm, page):
    base = bm.directory("base")
    databases = []
    for n in range(4):
        databases.append(add_database(bm, f"d{n}"))
        for i in range(10):
            write(f"{base}/{n}/{i}", i)
            backup = add_backup(bm, databases[n], f"d{n}b{i}")
            add_copy(bm, backup, "local", f"{n}/{i}", base_path=base)
            add_copy(bm, backup, "local_external", f"{n}/missing{i}", base_path=base, priority=1)

    def ask(i):
        n = i % 4
        answer = page.anew(databases[n]) if i % 3 else page.details(databases[n])
        assert [b["name"] for b in answer["recent_backups"]] == [f"d{n}b{k}" for k in reversed(range(10))]
        for k, backup in zip(reversed(range(10)), answer["recent_backups"]):
            there, missing = (c["file_info"] for c in backup["destinations"])
            assert (there["exists"], there["file_size_on_disk"], missing["exists"]) == (True, k, False)

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        list(pool.map(ask, range(300)))
