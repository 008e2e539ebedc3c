"""What people configure over HTTP: databases, destinations, assignments, schedules and groups; who may, what is refused and
how it is told, and that no secret leaves."""

import concurrent.futures
import http.client
import json
import os
import subprocess

import pytest

from harness.api import ApiServer, make_token
from harness.backup_rows import add_backup, add_copy, add_database, add_schedule, insert
from harness.dead_mount import DeadMount, why_not

KINDS = ("databases", "destinations", "assignments", "schedules", "groups")
SECRET = "canary-c0ffee-secret"


class Catalog:
    """Asks as an admin unless told otherwise; an unexpected status fails."""

    def __init__(self, bm, **env):
        self.bm = bm
        self.server = ApiServer(bm, **env)
        self.tokens = {role: make_token(bm, role) for role in ("viewer", "operator", "admin")}

    def ask(self, method, path, body=None, expect=200, role="admin", headers=None):
        answer = self.server.ask(method, "/api/" + path, body, self.tokens[role], headers)
        assert answer.status == expect, answer
        if expect >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json" and answer.json["status"] == expect
        return answer

    def get(self, path, **options):
        return self.ask("GET", path, **options).json

    def make(self, path, **body):
        answer = self.ask("POST", path, body, 201)
        assert answer.headers["Location"] == f"/api/{path}/{answer.json['id']}"
        assert self.get(f"{path}/{answer.json['id']}") == answer.json  # what was said is what is there
        return answer.json

    def change(self, path, headers=None, expect=200, **body):
        return self.ask("PATCH", path, body, expect, headers=headers).json

    def refused(self, method, path, body, status, field, *words):
        """The problem names that one field, and says what to write."""
        answer = self.ask(method, path, body, status)
        assert [e["field"] for e in answer.json["errors"]] == [field], answer
        assert all(word in answer.json["errors"][0]["message"] for word in words), answer
        return answer

    def ids(self, path):
        listed = self.get(path)
        return [row["id"] for row in next(v for v in listed.values() if isinstance(v, list))]

    def audit(self, kind):
        return self.get(f"audit?object_kind={kind}")["entries"]


@pytest.fixture
def catalog(bm):
    return Catalog(bm)


def program(name="p", **more):
    return {"name": name, "db_type": "command", "source_argv": ["/bin/true"], **more}


# -- databases


def test_database(bm, catalog):
    group = catalog.make("groups", name="shop")["id"]
    made = catalog.make("databases", name="orders", db_type="postgresql", host="db.example", port=5433, username="reader",
                        database_name="orders", password_ref="env:ORDERS_PASSWORD", group_id=group,
                        description="all\norders")  # fmt: skip
    assert made["group"] == {"id": group, "name": "shop"} and made["is_active"] is True and made["port"] == 5433
    assert made["password_ref"] == "env:ORDERS_PASSWORD" and made["source_program"] is None and made["statistics"]["total"] == 0
    path = f"databases/{made['id']}"
    assert made in catalog.get("databases")["databases"]

    changed = catalog.change(path, description=None, port=None, is_active=False)
    assert (changed["description"], changed["port"], changed["is_active"], changed["host"]) == (None, None, False, "db.example")
    assert changed["password_ref"] == "env:ORDERS_PASSWORD"
    changed = catalog.change(path, db_type="command", source_argv=["/usr/bin/mysqldump", "--all", "a b"], group_id=None)
    assert changed["source_program"] == "/usr/bin/mysqldump" and "source_argv" not in changed and changed["group"] is None
    argv = json.loads(bm.value("SELECT source_argv FROM databases WHERE id = %s", made["id"]))
    assert argv == ["/usr/bin/mysqldump", "--all", "a b"]
    for role in ("viewer", "operator"):
        seen = catalog.get(path, role=role)
        assert seen["password_ref"] is None and seen["source_program"] is None and seen["name"] == "orders"
        assert catalog.get("databases", role=role)["databases"][0] == seen

    log = catalog.audit("database")
    assert [e["action"] for e in log] == ["update", "update", "create"] and all(e["object_id"] == made["id"] for e in log)
    assert log[1]["changes"]["is_active"] == {"old": True, "new": False} and log[0]["changes"]["source_argv"]["new"] == "***"
    assert catalog.ask("DELETE", path, expect=204).bytes == b""
    assert catalog.audit("database")[0]["action"] == "remove"
    for method in ("GET", "PATCH", "DELETE"):
        assert f"no database {made['id']}" in catalog.ask(method, path, {"name": "x"} if method == "PATCH" else None, 404).json["detail"]


def test_a_database_with_history_stays(bm, catalog):
    database = catalog.make("databases", **program())["id"]
    schedule = catalog.make("schedules", name="nightly", database_id=database, cron_expression="30 2 * * *")["id"]
    add_backup(bm, database, "b")
    said = catalog.ask("DELETE", f"databases/{database}", expect=409).json["detail"]
    assert "'p'" in said and "1 of its backups" in said and "is_active" in said
    assert catalog.get(f"schedules/{schedule}")["id"] == schedule  # they go with it, or not at all
    bm.query("DELETE FROM backups")
    catalog.ask("DELETE", f"databases/{database}", expect=204)
    catalog.ask("GET", f"schedules/{schedule}", expect=404)


WRONG_OF_A_DATABASE = [
    ("name", "7", "would be an id"),
    ("name", "-x", "begins with"),
    ("name", "", "1 to 200"),
    ("name", "a\tb", "control characters"),
    ("name", "x" * 201, "1 to 200"),
    ("name", None, "1 to 200"),
    ("name", 5, "1 to 200"),
    ("description", 5, "text"),
    ("db_type", "mysql", "one of postgresql"),
    ("port", 0, "1 to 65535"),
    ("port", 65536, "1 to 65535"),
    ("port", "5432", "whole number"),
    ("port", 1.5, "whole number"),
    ("is_active", 1, "true or false"),
    ("is_active", None, "true or false"),
    ("group_id", 999, "no group 999"),
    ("group_id", 2**31, "a group's id"),
    ("source_argv", "/bin/true", "program and its arguments"),
    ("source_argv", [], "not an array with a program"),
    ("source_argv", ["", "x"], "program"),
    ("source_argv", ["a", 5], "program"),
    ("source_argv", None, "needs its program"),
    ("password_ref", SECRET, "env:"),
    ("source_path", "", "exists"),
]  # fmt: skip


def test_what_is_refused_of_a_database(bm, catalog):
    for field, value, words in WRONG_OF_A_DATABASE:
        answer = catalog.refused("POST", "databases", program(**{field: value}), 422, field, words)
        assert SECRET not in answer.bytes.decode()
    assert bm.value("SELECT count(*) FROM databases") == 0
    made = catalog.make("databases", **program())
    for field, value, words in WRONG_OF_A_DATABASE:
        catalog.refused("PATCH", f"databases/{made['id']}", {field: value}, 422, field, words)
    assert catalog.get(f"databases/{made['id']}") == made and len(catalog.audit("database")) == 1


def test_what_a_database_needs(bm, catalog):
    catalog.refused("POST", "databases", {"db_type": "command"}, 422, "name", "is missing")
    catalog.refused("POST", "databases", {"name": "a", "db_type": "postgresql"}, 422, "database_name", "needs the name")
    catalog.refused("POST", "databases", {"name": "a", "db_type": "file"}, 422, "source_path", "needs a path")
    gone = {"name": "a", "db_type": "file", "source_path": "/nowhere/at/all"}
    catalog.refused("POST", "databases", gone, 422, "source_path", "/nowhere/at/all", "exists")
    a_file = {"name": "a", "db_type": "directory", "source_path": bm.random_file("f", 1)}
    catalog.refused("POST", "databases", a_file, 422, "source_path", "not a directory")
    catalog.refused("POST", "databases", program(password="x"), 422, "password", "not known here")
    catalog.make("databases", **program("taken"))
    catalog.refused("POST", "databases", program("taken"), 409, "name", "exists already")
    other = catalog.make("databases", **program())["id"]
    catalog.refused("PATCH", f"databases/{other}", {"name": "taken"}, 409, "name", "exists already")
    said = catalog.ask("PATCH", f"databases/{other}", {"name": "taken", "group_id": 999}, 422)
    assert {e["field"] for e in said.json["errors"]} == {"name", "group_id"}


def test_an_older_row_can_be_switched_off(bm, catalog):
    """What the older system configured and this one can't check: it is shown, described, put into a group and switched
    off; how it is dumped can't be written, nor can it be switched on."""
    database = add_database(bm, "old", db_type="mysql", password_ref=SECRET)
    assert catalog.get(f"databases/{database}")["password_ref"] == "***"
    group = catalog.make("groups", name="g")["id"]
    catalog.refused("PATCH", f"databases/{database}", {"description": "x", "host": "y"}, 422, "db_type", "mysql")
    changed = catalog.change(f"databases/{database}", description="x", group_id=group, is_active=True)
    assert (changed["description"], changed["group"]["id"], changed["host"]) == ("x", group, "db.example")
    assert catalog.change(f"databases/{database}", is_active=False, name="older")["is_active"] is False
    catalog.refused("PATCH", f"databases/{database}", {"is_active": True}, 422, "db_type", "mysql")
    assert bm.value("SELECT password_ref FROM databases WHERE id = %s", database) == SECRET


def test_an_older_schedule_can_be_described(bm, catalog):
    """Its expression is none of ours: that is told, and the rest can be changed."""
    database = catalog.make("databases", **program())["id"]
    schedule = add_schedule(bm, database, "old", cron_expression="0 0 L * *")
    assert catalog.change(f"schedules/{schedule}", description="x", name="older")["cron_expression"] == "0 0 L * *"
    catalog.refused("PATCH", f"schedules/{schedule}", {"timezone": "Europe/Rome"}, 422, "cron_expression", "'L'")
    assert catalog.change(f"schedules/{schedule}", is_active=False)["next_run_at"] is None
    catalog.refused("PATCH", f"schedules/{schedule}", {"is_active": True}, 422, "cron_expression", "'L'")


def test_a_source_that_is_away_now(bm, catalog):
    """Its disk is not mounted: what it is called can be changed all the same, where it is can't."""
    path = bm.random_file("source", 10)
    database = catalog.make("databases", name="file", db_type="file", source_path=path)["id"]
    os.unlink(path)
    assert catalog.change(f"databases/{database}", name="renamed", description="x")["source_path"] == path
    catalog.refused("PATCH", f"databases/{database}", {"source_path": path}, 422, "source_path", "exists")


# -- destinations


def test_destination(bm, catalog):
    base = bm.directory("disk")
    made = catalog.make("destinations", name="disk", storage_type="local", base_path=base + "/.")
    assert {k: made[k] for k in ("base_path", "storage_config", "credentials_ref", "priority", "queue", "max_concurrent",
                                 "bandwidth_limit", "enabled", "databases")} == {
        "base_path": os.path.realpath(base), "storage_config": None, "credentials_ref": None, "priority": 0,
        "queue": "default", "max_concurrent": None, "bandwidth_limit": None, "enabled": True, "databases": []}  # fmt: skip
    path = f"destinations/{made['id']}"
    changed = catalog.change(path, priority=3, queue="slow", max_concurrent=2, bandwidth_limit=2**40, enabled=False,
                             storage_config={"read_back": True}, name="nas",
                             path_template="{database}/{name}.{ext}")  # fmt: skip
    assert (changed["priority"], changed["queue"], changed["max_concurrent"], changed["bandwidth_limit"]) == (3, "slow", 2, 2**40)
    assert changed["storage_config"] == '{"read_back":true}' and changed["path_template"] == "{database}/{name}.{ext}"
    changed = catalog.change(path, storage_config=None, max_concurrent=None, bandwidth_limit=None)
    assert (changed["storage_config"], changed["max_concurrent"], changed["bandwidth_limit"]) == (None, None, None)
    store = catalog.make("destinations", name="store", storage_type="s3", credentials_ref="env:AWS",
                         storage_config='{"bucket": "our-bucket", "region": "eu-south-1", "credentials_ref": "env:INNER"}')  # fmt: skip
    assert store["credentials_ref"] == "env:AWS" and json.loads(store["storage_config"])["credentials_ref"] == "env:INNER"
    for role in ("viewer", "operator"):
        for seen in (catalog.get(f"destinations/{store['id']}", role=role), catalog.get("destinations", role=role)["destinations"][1]):
            assert seen["credentials_ref"] is None and json.loads(seen["storage_config"]) == {
                "bucket": "our-bucket", "region": "eu-south-1", "credentials_ref": "***"}  # fmt: skip
    entries = catalog.audit("destination")
    assert [e["action"] for e in entries] == ["create", "update", "update", "create"]
    assert entries[1]["changes"]["storage_config"]["old"] == "***"

    database = catalog.make("databases", **program())["id"]
    insert(bm, "destination_assignments", destination_id=made["id"], database_id=database)
    backup = add_backup(bm, database, "b", "pending")
    copy = add_copy(bm, backup, "local", "k", destination_id=made["id"], status="pending", origin="native")
    said = catalog.ask("DELETE", path, expect=409).json["detail"]
    assert "'nas'" in said and f"backups {backup} " in said and "cancel" in said
    bm.query("UPDATE backup_destinations SET status = 'completed' WHERE id = %s", copy)
    catalog.ask("DELETE", path, expect=204)
    assert bm.value("SELECT destination_id FROM backup_destinations WHERE id = %s", copy) is None


WRONG_OF_A_DESTINATION = [
    ("name", "..", "can't name"),
    ("storage_type", "ftp", "one of local"),
    ("base_path", "/nowhere/at/all", "exists on this machine"),
    ("base_path", "/tmp/../etc", ".."),
    ("base_path", "/etc/passwd", "not a directory"),
    ("base_path", None, "needs a path"),
    ("storage_config", [], "an object"),
    ("storage_config", 5, "an object"),
    ("storage_config", "{", "not valid JSON"),
    ("storage_config", "[]", "must be a JSON object"),
    ("storage_config", {"smb_password": SECRET}, "encrypt_config"),
    ("storage_config", {"a": {"b": {"token": SECRET}}}, "credentials_ref"),
    ("storage_config", json.dumps({"url": f"smb://u:{SECRET}@nas/x"}), "credentials_ref"),
    ("storage_config", {"sealed": "***"}, "nothing is sealed"),
    ("storage_config", {"sealed": {"key_id": "x", "data": SECRET}}, "sealed"),
    ("storage_config", {"x": "y" * (64 << 10)}, "65536"),
    ("encrypt_config", True, "storage_config"),
    ("credentials_ref", SECRET, "env:"),
    ("priority", -1, "0 to"),
    ("priority", 2**31, "0 to"),
    ("queue", "a b", "letters"),
    ("max_concurrent", 0, "1 to"),
    ("bandwidth_limit", 0, "bytes per second"),
    ("path_template", "{database}/x", "{name}"),
    ("path_template", "/{name}", "relative"),
    ("path_template", "../{name}", ".."),
    ("enabled", "yes", "true or false"),
    ("accept_disk", "yes", "true or false"),
]  # fmt: skip


def test_what_is_refused_of_a_destination(bm, catalog):
    body = {"name": "d", "storage_type": "local", "base_path": bm.directory("d")}
    for field, value, words in WRONG_OF_A_DESTINATION:
        answer = catalog.refused("POST", "destinations", {**body, field: value}, 422, field, words)
        assert SECRET not in answer.bytes.decode()
    assert bm.value("SELECT count(*) FROM destinations") == 0
    made = catalog.make("destinations", **body)
    for field, value, words in WRONG_OF_A_DESTINATION:
        catalog.refused("PATCH", f"destinations/{made['id']}", {field: value}, 422, field, words)
    assert catalog.get(f"destinations/{made['id']}") == made and len(catalog.audit("destination")) == 1


def test_settings_of_a_store_are_checked(catalog):
    catalog.refused("POST", "destinations", {"name": "s", "storage_type": "s3", "storage_config": {"region": "x"}}, 422,
                    "storage_config", "bucket")  # fmt: skip
    catalog.refused("POST", "destinations", {"name": "s", "storage_type": "s3", "base_path": "/tmp",
                                             "storage_config": {"bucket": "our-bucket"}}, 422, "base_path", "no base path")  # fmt: skip


def key_file(bm, name):
    path = os.path.join(bm.tmp, name)
    with open(path, "w") as f:
        subprocess.run(["openssl", "rand", "-base64", "32"], stdout=f, check=True)
    os.chmod(path, 0o644)
    return path


def test_secrets_are_sealed_and_stay(bm, wait_for):
    catalog = Catalog(bm, BM_ENCRYPTION_KEY_REF=f"file:{key_file(bm, 'key')}")
    where = {"name": "s", "storage_type": "s3"}
    plain = {"bucket": "our-bucket", "region": "eu-south-1", "access_key_id": "AKIA", "secret_access_key": SECRET}

    def make():
        answer = catalog.server.ask("POST", "/api/destinations", {**where, "storage_config": plain, "encrypt_config": True},
                                    catalog.tokens["admin"])  # fmt: skip
        return answer if answer.status == 201 else None

    made = wait_for(make).json  # the keys are being read while the server begins
    answers = [json.dumps(made)]

    def stored():
        return json.loads(bm.value("SELECT storage_config FROM destinations"))

    shown = {"bucket": "our-bucket", "region": "eu-south-1", "access_key_id": "AKIA", "sealed": "***"}
    assert json.loads(made["storage_config"]) == shown
    first = stored()
    assert set(first) == set(shown) and set(first["sealed"]) == {"key_id", "data"} and SECRET not in json.dumps(first)
    path = f"destinations/{made['id']}"
    # What a form shows and gives back: what is sealed stays, also beside what is new.
    answers.append(catalog.ask("PATCH", path, {"storage_config": {**shown, "prefix": "p"}}).bytes.decode())
    assert stored() == {**first, "prefix": "p"}
    answers.append(catalog.ask("PATCH", path, {"priority": 4}).bytes.decode())
    assert stored() == {**first, "prefix": "p"}
    # A further secret beside what is sealed.
    more = {"storage_config": json.dumps({**shown, "session_token": SECRET + "-2"}), "encrypt_config": True}
    answers.append(catalog.ask("PATCH", path, more).bytes.decode())
    assert stored()["sealed"]["data"] != first["sealed"]["data"] and SECRET not in json.dumps(stored())
    answers.append(catalog.refused("PATCH", path, {"storage_config": {**shown, "session_token": SECRET}}, 422,
                                   "storage_config", "encrypt_config").bytes.decode())  # fmt: skip
    for role in catalog.tokens:
        for where_to in (path, "destinations"):
            answers.append(catalog.ask("GET", where_to, role=role).bytes.decode())
    answers.append(catalog.ask("GET", "audit").bytes.decode())
    assert not any(SECRET in answer for answer in answers)
    with open(catalog.server.process.log_path) as log:
        assert SECRET not in log.read()
    catalog.change(path, storage_config={"bucket": "our-bucket", "region": "eu-south-1"})
    assert "sealed" not in stored()


def test_without_a_key_nothing_is_sealed(catalog):
    body = {"name": "s", "storage_type": "s3", "encrypt_config": True,
            "storage_config": {"bucket": "our-bucket", "secret_access_key": SECRET}}  # fmt: skip
    answer = catalog.refused("POST", "destinations", body, 422, "storage_config", "BM_ENCRYPTION_KEY_REF")
    assert SECRET not in answer.bytes.decode()


def test_another_disk(bm, catalog):
    """A disk that is not the one of before is accepted when somebody says so."""
    base = bm.directory("disk")
    made = catalog.make("destinations", name="d", storage_type="local_external", base_path=base)
    assert made["disk_identity"]
    bm.query("UPDATE destinations SET disk_identity = 'another'")
    path = f"destinations/{made['id']}"
    assert catalog.change(path, priority=1, accept_disk=False)["disk_identity"] == "another"
    assert catalog.change(path, accept_disk=True)["disk_identity"] == made["disk_identity"]


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_a_dead_mount_stops_nobody(bm, catalog, wait_for):
    mount = DeadMount(bm.directory("nas"), wait_for)
    try:
        mount.hang()
        body = {"name": "far", "storage_type": "local", "base_path": mount.path + "/d"}
        said = catalog.ask("POST", "destinations", body, 503)
        assert "does not answer" in said.json["detail"] and said.headers["Retry-After"]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:  # more than there are threads for
            for again in [pool.submit(catalog.ask, "POST", "destinations", {**body, "base_path": f"{mount.path}/d{i}"}, 503) for i in range(8)]:
                again.result()
        assert catalog.make("groups", name="g")["name"] == "g"
        assert catalog.make("destinations", name="near", storage_type="local", base_path=bm.directory("near"))
        far = insert(bm, "destinations", name="far", storage_type="local", base_path=mount.path + "/d")
        assert catalog.change(f"destinations/{far}", enabled=False)["enabled"] is False  # without a look at it
    finally:
        mount.close()


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_the_end_does_not_wait_for_a_dead_mount(bm, catalog, wait_for):
    """More than can be looked at side by side; all are answered when the server ends."""
    mount = DeadMount(bm.directory("nas"), wait_for)
    try:
        mount.hang()
        clients = [http.client.HTTPConnection(*catalog.server.socket_address, timeout=60) for _ in range(8)]
        for i, client in enumerate(clients):
            body = {"name": f"far {i}", "storage_type": "local", "base_path": mount.path + "/d"}
            client.request("POST", "/api/destinations", json.dumps(body),
                           {"Content-Type": "application/json", "Authorization": f"Bearer {catalog.tokens['admin']}"})  # fmt: skip
        wait_for(mount.is_asked)
        catalog.server.process.ask_to_end()
        assert {client.getresponse().status for client in clients} == {503}
        catalog.server.process.wait_log("ending without it")
    finally:
        mount.close()
    assert bm.value("SELECT count(*) FROM destinations") == 0


# -- assignments


@pytest.fixture
def pair(bm, catalog):
    database = catalog.make("databases", **program("source"))["id"]
    destination = catalog.make("destinations", name="disk", storage_type="local", base_path=bm.directory("disk"), priority=5)["id"]
    return destination, database


def test_assignment(bm, catalog, pair):
    destination, database = pair
    schedule = catalog.make("schedules", name="nightly", database_id=database, cron_expression="30 2 * * *")["id"]
    made = catalog.make("assignments", destination_id=destination, database_id=database)
    assert made.pop("created_at") and made == {
        "id": made["id"], "destination_id": destination, "destination": "disk", "storage_type": "local",
        "database_id": database, "database": "source", "schedule_id": None, "schedule": None, "priority": None,
        "effective_priority": 5, "enabled": True, "effective_enabled": True}  # fmt: skip
    own = catalog.make("assignments", destination_id=destination, database_id=database, schedule_id=schedule, priority=0)
    assert (own["schedule"], own["priority"], own["effective_priority"]) == ("nightly", 0, 0)
    path = f"assignments/{made['id']}"
    changed = catalog.change(path, priority=2, enabled=False)
    assert (changed["priority"], changed["enabled"], changed["effective_enabled"]) == (2, False, False)
    assert catalog.change(path, priority=None, enabled=True)["effective_priority"] == 5
    assert catalog.ids(f"assignments?database_id={database}") == [made["id"], own["id"]]
    assert catalog.ids(f"assignments?database_id={database}&schedule_id={schedule}") == [own["id"]]
    assert catalog.ids("assignments?destination_id=999") == [] and catalog.ids("assignments?q=NIGHT") == [own["id"]]
    assert len(catalog.get(f"databases/{database}")["destinations"]) == 2
    assert len(catalog.get(f"destinations/{destination}")["databases"]) == 2
    catalog.refused("POST", "assignments", {"destination_id": destination, "database_id": database}, 409, "destination_id",
                    f"assignment {made['id']}")  # fmt: skip
    catalog.ask("DELETE", path, expect=204)
    catalog.ask("DELETE", path, expect=404)
    assert [e["action"] for e in catalog.audit("assignment")] == ["remove", "update", "update", "create", "create"]


def test_what_is_refused_of_an_assignment(bm, catalog, pair):
    destination, database = pair
    other = catalog.make("databases", **program("other"))["id"]
    schedule = catalog.make("schedules", name="nightly", database_id=other, cron_expression="@daily")["id"]
    good = {"destination_id": destination, "database_id": database}
    for field, value, words in (("destination_id", 999, "no destination 999"), ("database_id", 999, "no database 999"),
                                ("schedule_id", schedule, "no schedule"), ("schedule_id", 999, "no schedule 999"),
                                ("destination_id", "disk", "a destination's id"), ("database_id", None, "a database's id"),
                                ("priority", -1, "goes first"), ("enabled", None, "true or false")):  # fmt: skip
        catalog.refused("POST", "assignments", {**good, field: value}, 422, field, words)
    for field in good:
        catalog.refused("POST", "assignments", {k: v for k, v in good.items() if k != field}, 422, field, "is missing")
    assert bm.value("SELECT count(*) FROM destination_assignments") == 0
    path = f"assignments/{catalog.make('assignments', **good)['id']}"
    catalog.refused("PATCH", path, {"database_id": other}, 422, "database_id", "not known here")


# -- schedules


def test_schedule(bm, catalog):
    database = catalog.make("databases", **program("source"))["id"]
    made = catalog.make("schedules", name="nightly", database_id=database, cron_expression="30 2 * * *", timezone="Europe/Rome")
    facts = {"schedule_type": "cron", "interval_value": None, "misfire_policy": "once", "ordering": "parallel", "is_active": True,
             "database": "source", "timezone": "Europe/Rome", "last_run_at": None}  # fmt: skip
    assert {k: made[k] for k in facts} == facts
    assert made["next_run_at"] == catalog.get(f"schedules/{made['id']}/preview")["runs"][0]["at"]
    path = f"schedules/{made['id']}"
    changed = catalog.change(path, interval_value="weekly", misfire_policy="skip", ordering="sequential", timezone="UTC")
    assert (changed["schedule_type"], changed["cron_expression"], changed["interval_value"]) == ("interval", None, "weekly")
    assert changed["next_run_at"] != made["next_run_at"]
    off = catalog.change(path, is_active=False)
    assert off["is_active"] is False and off["next_run_at"] is None
    assert catalog.change(path, is_active=True)["next_run_at"] == changed["next_run_at"]
    # What the scheduler wrote since is not taken back by a change of something else.
    bm.query("UPDATE schedules SET next_run_at = '2030-01-01T00:00:00Z'")
    assert catalog.change(path, description="x")["next_run_at"] == "2030-01-01T00:00:00Z"
    assert catalog.change(path, schedule_type="manual")["next_run_at"] is None
    other = catalog.make("databases", **program("other"))["id"]
    catalog.make("schedules", name="nightly", database_id=other, interval_value="hourly")  # names are a database's own
    catalog.refused("POST", "schedules", {"name": "nightly", "database_id": database, "interval_value": "hourly"}, 409, "name",
                    "exists already")  # fmt: skip
    backup = add_backup(bm, database, "b", schedule_id=made["id"])
    catalog.ask("DELETE", path, expect=204)
    assert bm.value("SELECT schedule_id FROM backups WHERE id = %s", backup) is None
    assert [e["action"] for e in catalog.audit("schedule")][:2] == ["remove", "create"]


WRONG_OF_A_SCHEDULE = [
    ("name", "1", "would be an id"),
    ("database_id", 999, "no database 999"),
    ("schedule_type", "sometimes", "one of cron"),
    ("cron_expression", "61 * * * *", "minute"),
    ("cron_expression", "0 0 30 2 *", "never"),
    ("cron_expression", None, "needs a cron expression"),
    ("interval_value", "yearly", "one of hourly"),
    ("interval_value", "daily", "not both"),
    ("timezone", "Mars/Olympus", "Mars/Olympus"),
    ("timezone", "../../etc/passwd", "time zone"),
    ("misfire_policy", "twice", "one of skip"),
    ("ordering", "random", "one of parallel"),
    ("is_active", 0, "true or false"),
]  # fmt: skip


def test_what_is_refused_of_a_schedule(bm, catalog):
    database = catalog.make("databases", **program())["id"]
    body = {"name": "s", "database_id": database, "cron_expression": "@daily"}
    for field, value, words in WRONG_OF_A_SCHEDULE:
        catalog.refused("POST", "schedules", {**body, field: value}, 422, field, words)
    assert bm.value("SELECT count(*) FROM schedules") == 0
    made = catalog.make("schedules", **body)
    for field, value, words in WRONG_OF_A_SCHEDULE:
        words = "not known here" if field == "database_id" else words
        more = {"cron_expression": "@daily"} if words == "not both" else {}
        catalog.refused("PATCH", f"schedules/{made['id']}", {field: value, **more}, 422, field, words)
    assert catalog.get(f"schedules/{made['id']}") == made


@pytest.mark.parametrize("rule,after,runs", [
    ({"cron_expression": "30 2 * * *", "timezone": "Europe/Rome"}, "2026-03-27T12:00:00Z",
     [("2026-03-28T01:30:00Z", "2026-03-28T02:30:00+01:00"), ("2026-03-29T01:00:00Z", "2026-03-29T03:00:00+02:00"),
      ("2026-03-30T00:30:00Z", "2026-03-30T02:30:00+02:00")]),
    ({"cron_expression": "30 2 * * *", "timezone": "Europe/Rome"}, "2026-10-24T12:00:00Z",
     [("2026-10-25T00:30:00Z", "2026-10-25T02:30:00+02:00"), ("2026-10-26T01:30:00Z", "2026-10-26T02:30:00+01:00")]),
    ({"interval_value": "hourly", "timezone": "Europe/Rome"}, "2026-10-25T00:00:00+02:00",
     [("2026-10-24T23:00:00Z", "2026-10-25T01:00:00+02:00"), ("2026-10-25T00:00:00Z", "2026-10-25T02:00:00+02:00"),
      ("2026-10-25T01:00:00Z", "2026-10-25T02:00:00+01:00")]),
    ({"cron_expression": "0 0 29 2 *"}, "2026-01-01T00:00:00Z",
     [("2028-02-29T00:00:00Z", "2028-02-29T00:00:00+00:00"), ("2032-02-29T00:00:00Z", "2032-02-29T00:00:00+00:00")]),
    ({"cron_expression": "0 12 * * *", "timezone": "America/St_Johns"}, "2026-01-01T00:00:00Z",
     [("2026-01-01T15:30:00Z", "2026-01-01T12:00:00-03:30")]),
    ({"schedule_type": "manual"}, "2026-01-01T00:00:00Z", []),
])  # fmt: skip
def test_preview(catalog, rule, after, runs):
    expected = [{"at": at, "local": local} for at, local in runs]
    count = max(len(runs), 1)
    said = catalog.ask("POST", "schedules/preview", {**rule, "after": after, "count": count}, role="operator").json
    assert said["runs"] == expected and said["schedule_id"] is None and said["schedule_error"] is None
    database = catalog.make("databases", **program())["id"]
    schedule = catalog.make("schedules", name="s", database_id=database, is_active=False, **rule)["id"]
    after = after.replace("+", "%2B")
    saved = catalog.get(f"schedules/{schedule}/preview?count={count}&after={after}", role="viewer")
    assert saved == {**said, "schedule_id": schedule, "schedule_type": saved["schedule_type"]}


def test_preview_bounds(bm, catalog):
    database = catalog.make("databases", **program())["id"]
    path = f"schedules/{catalog.make('schedules', name='s', database_id=database, cron_expression='* * * * *')['id']}/preview"
    assert len(catalog.get(path)["runs"]) == 10 and len(catalog.get(path + "?count=100")["runs"]) == 100
    for query in ("count=0", "count=101", "count=x", "after=tomorrow", "x=1"):
        catalog.refused("GET", f"{path}?{query}", None, 400, query.split("=")[0])
    catalog.refused("GET", path + "?after=9999-01-01T00:00:00Z", None, 400, "after", "3000")  # as all of a query
    catalog.ask("GET", "schedules/999/preview", expect=404)
    for body, field in (({}, "cron_expression"), ({"cron_expression": "x"}, "cron_expression"),
                        ({"interval_value": "yearly"}, "interval_value"), ({"schedule_type": "x"}, "schedule_type"),
                        ({"cron_expression": "@daily", "timezone": "Nowhere"}, "timezone"),
                        ({"cron_expression": "@daily", "interval_value": "daily"}, "interval_value"),
                        ({"cron_expression": "@daily", "count": 1000}, "count")):  # fmt: skip
        catalog.refused("POST", "schedules/preview", body, 422, field)
    broken = add_schedule(bm, database, "broken", cron_expression="what?")
    said = catalog.get(f"schedules/{broken}/preview")
    assert said["runs"] == [] and said["schedule_error"]


# -- all kinds


def test_lists(bm, catalog):
    database = catalog.make("databases", **program("source"))["id"]
    other = catalog.make("databases", **program("other"))["id"]
    disks = [catalog.make("destinations", name=f"Disk {i}", storage_type="local", base_path=bm.directory("d"), enabled=i != 1)["id"] for i in range(3)]
    store = catalog.make("destinations", name="store", storage_type="s3", storage_config={"bucket": "our-bucket"})["id"]
    catalog.make("assignments", destination_id=disks[2], database_id=database)
    nightly = catalog.make("schedules", name="nightly", database_id=database, cron_expression="@daily")["id"]
    weekly = catalog.make("schedules", name="weekly", database_id=other, interval_value="weekly", is_active=False)["id"]
    assert catalog.ids("destinations") == [*disks, store]
    assert catalog.ids("destinations?q=disk") == disks and catalog.ids("destinations?q=dIsK%202") == [disks[2]]
    assert catalog.ids("destinations?enabled=false") == [disks[1]] and catalog.ids("destinations?storage_type=s3") == [store]
    assert catalog.ids(f"destinations?database_id={database}") == [disks[2]] and catalog.ids(f"destinations?database_id={other}") == []
    assert catalog.ids(f"schedules?database_id={database}") == [nightly] and catalog.ids("schedules?active=false") == [weekly]
    assert catalog.ids("schedules?q=other") == [weekly] and catalog.ids("groups?q=%25") == []
    first = catalog.get("destinations?limit=2")
    assert [d["id"] for d in first["destinations"]] == disks[:2] and first["next_after"] == disks[1]
    rest = catalog.get(f"destinations?limit=2&after={first['next_after']}")
    assert [d["id"] for d in rest["destinations"]] == [disks[2], store] and rest["next_after"] is None
    for kind, query in (("destinations", "active=true"), ("destinations", "storage_type=ftp"), ("schedules", "database_id=x"),
                        ("groups", "database_id=1"), ("assignments", "limit=0"), ("destinations", "q="),
                        ("groups/1", "x=1")):  # fmt: skip
        catalog.ask("GET", f"{kind}?{query}", expect=400)
    answer = catalog.ask("GET", "destinations")
    assert catalog.ask("GET", "destinations", headers={"If-None-Match": answer.headers["ETag"]}, expect=304).bytes == b""


def bodies(bm):
    return {"databases": program("x"), "destinations": {"name": "x", "storage_type": "local", "base_path": bm.directory("x")},
            "groups": {"name": "x"}, "schedules": {"name": "x", "database_id": 1, "cron_expression": "@daily"},
            "assignments": {"destination_id": 1, "database_id": 1}}  # fmt: skip


def test_only_admins_configure(bm, catalog, pair):
    destination, database = pair
    made = {"databases": database, "destinations": destination, "groups": catalog.make("groups", name="g")["id"],
            "schedules": catalog.make("schedules", name="s", database_id=database, cron_expression="@daily")["id"],
            "assignments": catalog.make("assignments", destination_id=destination, database_id=database)["id"]}  # fmt: skip
    before = {kind: catalog.get(kind) for kind in KINDS}
    for role in ("viewer", "operator"):
        for kind, body in bodies(bm).items():
            assert catalog.ids(kind) and catalog.get(f"{kind}/{made[kind]}", role=role)["id"] == made[kind]
            catalog.ask("POST", kind, body, 403, role)
            catalog.ask("PATCH", f"{kind}/{made[kind]}", body, 403, role)
            catalog.ask("DELETE", f"{kind}/{made[kind]}", None, 403, role)
    catalog.ask("POST", "schedules/preview", {"cron_expression": "@daily"}, 403, "viewer")
    assert {kind: catalog.get(kind) for kind in KINDS} == before


@pytest.mark.parametrize("kind", KINDS)
def test_if_match(bm, catalog, pair, kind):
    """Who looked at another row than what is there now changes and removes nothing."""
    destination, database = pair
    body = {**bodies(bm)[kind]}
    body.update({k: v for k, v in (("database_id", database), ("destination_id", destination)) if k in body})
    path = f"{kind}/{catalog.make(kind, **body)['id']}"
    change = {"enabled": False} if kind in ("destinations", "assignments") else {"description": "one"}
    old = catalog.ask("GET", path).headers["ETag"]
    gzip = catalog.ask("GET", path, headers={"Accept-Encoding": "gzip"}).headers["ETag"]
    assert catalog.ask("PATCH", path, change, headers={"If-Match": f'"x", {gzip}'}).status == 200
    now = catalog.get(path)
    back = {"enabled": True} if "enabled" in change else {"description": "two"}
    assert "GET it again" in catalog.ask("PATCH", path, back, 412, headers={"If-Match": old}).json["detail"]
    catalog.ask("DELETE", path, None, 412, headers={"If-Match": old})
    catalog.ask("DELETE", path, None, 412, headers={"If-Match": "nonsense"})
    assert catalog.get(path) == now
    fresh = catalog.ask("GET", path).headers["ETag"]
    catalog.ask("PATCH", path, change, headers={"If-Match": "*"})
    fresh = catalog.ask("GET", path).headers["ETag"]
    catalog.ask("DELETE", path, None, 204, headers={"If-Match": fresh})
    catalog.ask("DELETE", path, None, 404, headers={"If-Match": fresh})
    catalog.ask("PATCH", path, change, 404, headers={"If-Match": fresh})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_refuses(bm, catalog, pair, kind):
    destination, database = pair
    body = {**bodies(bm)[kind]}
    body.update({k: v for k, v in (("database_id", database), ("destination_id", destination)) if k in body})
    path = f"{kind}/{catalog.make(kind, **body)['id']}"
    before = catalog.get(path)
    assert "nothing to change" in catalog.ask("PATCH", path, {}, 422).json["detail"]
    catalog.refused("PATCH", path, {"id": 7}, 422, "id", "not known here")
    catalog.refused("POST", kind, {**body, "created_by": 1}, 422, "created_by", "not known here")
    for bad in (b"[]", b"{", b"\xff", b'"x"', b"[" * 40, b'{"name": "a", "name": "b"}'):
        catalog.ask("PATCH", path, bad, 400)
        catalog.ask("POST", kind, bad, 400)
    catalog.ask("PATCH", path + "?x=1", {"enabled": True}, 400)
    catalog.ask("PATCH", f"{kind}/0", {"name": "x"}, 400)
    catalog.ask("DELETE", f"{kind}/2147483647", None, 404)
    assert catalog.get(path) == before


def test_two_at_once(bm, catalog):
    """The row changes between our reading and our writing: nothing is written over it."""
    group = catalog.make("groups", name="g")["id"]
    # Whoever holds the lock of the catalog stands between the two.
    other = bm.postgres.connect(bm.database)
    other.autocommit = False
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('backupmanager.catalog', 0))")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(catalog.server.ask, "PATCH", f"/api/groups/{group}", {"description": "ours"}, catalog.tokens["admin"])
            while not bm.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                pass
            cursor.execute("UPDATE groups SET description = 'theirs' WHERE id = %s", (group,))
            other.commit()
            answer = asked.result()
    other.close()
    assert answer.status == 409 and "at the same time" in answer.json["detail"]
    assert catalog.get(f"groups/{group}")["description"] == "theirs"


def test_removed_while_it_is_used(bm, catalog, wait_for):
    """A backup of the database is being made, and not seen yet: no removal, and no error of PostgreSQL's."""
    database = catalog.make("databases", **program())["id"]
    maker = bm.postgres.connect(bm.database)
    maker.autocommit = False
    with maker.cursor() as cursor, concurrent.futures.ThreadPoolExecutor(1) as pool:
        cursor.execute("INSERT INTO backups (name, database_id, status, created_by) SELECT 'b', %s, 'pending', min(id) FROM users", (database,))
        asked = pool.submit(catalog.server.ask, "DELETE", f"/api/databases/{database}", None, catalog.tokens["admin"])
        wait_for(lambda: bm.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"))
        maker.commit()
        answer = asked.result()
    maker.close()
    assert answer.status == 409 and "needs it" in answer.json["detail"]
    assert "1 of its backups" in catalog.ask("DELETE", f"databases/{database}", expect=409).json["detail"]
