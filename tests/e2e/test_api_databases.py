"""GET /api/databases and GET /api/databases/{id}: what a list of all databases says of each."""

import pytest

from harness.api import ApiServer, make_token
from harness.backup_rows import add_backup, add_copy, add_database, add_schedule, insert


class Lists:
    def __init__(self, bm):
        self.server = ApiServer(bm)
        self.token = make_token(bm, "viewer")

    def ask(self, query="", expect=200):
        answer = self.server.ask("GET", f"/api/databases{query}", token=self.token)
        assert answer.status == expect, answer
        return answer.json

    def ids(self, query=""):
        return [d["id"] for d in self.ask(query)["databases"]]


@pytest.fixture
def lists(bm):
    return Lists(bm)


def test_what_it_says(bm, lists):
    group = insert(bm, "groups", name="shop")
    database = add_database(bm, group_id=group, description="all orders")
    empty = add_database(bm, "empty", is_active=False, last_backup_at="2024-05-01T02:03:04Z")
    add_schedule(bm, database, "soon", next_run_at="2031-01-01T00:00:00Z")
    add_schedule(bm, database, "later", next_run_at="2032-01-01T00:00:00Z")
    add_schedule(bm, database, "off", next_run_at="2030-01-01T00:00:00Z", is_active=False)
    add_schedule(bm, empty, "idle", next_run_at="2030-01-01T00:00:00Z")
    place = insert(bm, "destinations", name="nas", storage_type="local", base_path="/nas", priority=7)
    insert(bm, "destination_assignments", destination_id=place, database_id=database)
    good = add_backup(bm, database, "good", completed_at="2026-01-01T10:00:00Z")
    add_copy(bm, good, "s3", "k", file_size=5)
    bad = add_backup(bm, database, "bad", "failed", error_message="no space", completed_at="2026-01-02T10:00:00Z")
    answer = lists.ask()
    shown, other = answer["databases"]
    assert answer["next_after"] is None
    facts = {
        "id": database, "name": "production", "description": "all orders", "db_type": "postgresql", "host": "db.example",
        "port": 5432, "username": "reader", "database_name": "production", "source_path": None, "is_active": True,
        "group": {"id": group, "name": "shop"}, "last_backup_at": "2026-01-01T10:00:00Z", "active_schedules": 2,
        "next_run_at": "2031-01-01T00:00:00Z",
        "statistics": {"total": 2, "successful": 1, "failed": 1, "partial": 0, "in_progress": 0, "completed_copies": 1,
                       "total_size": 5, "last_success_id": good, "last_success_at": "2026-01-01T10:00:00Z"},
        "destinations": [{"id": place, "name": "nas", "storage_type": "local", "priority": 7, "schedule_id": None,
                          "enabled": True}],
    }  # fmt: skip
    assert {k: shown[k] for k in facts} == facts
    assert set(shown) == {*facts, "created_at", "updated_at", "last_backup", "password_ref", "source_program"}
    assert shown["last_backup"].pop("created_at") and shown["last_backup"] == {
        "id": bad, "name": "bad", "status": "failed", "error_message": "no space", "completed_at": "2026-01-02T10:00:00Z",
    }  # fmt: skip
    assert (other["group"], other["last_backup"], other["next_run_at"], other["destinations"]) == (None, None, None, [])
    assert other["last_backup_at"] == "2024-05-01T02:03:04Z" and other["statistics"]["total"] == 0
    shown["last_backup"] = lists.ask(f"/{database}")["last_backup"]
    assert lists.ask(f"/{database}") == shown
    assert lists.ask("/4711", 404)["detail"] == "there is no database 4711"


def test_filters(bm, lists):
    groups = [insert(bm, "groups", name=name) for name in ("one", "two")]
    ids = [
        add_database(bm, "Orders", group_id=groups[0], host="alpha", database_name="a%b"),
        add_database(bm, "orders_old", group_id=groups[1], host="beta", is_active=False),
        add_database(bm, "people", host="alpha", description="HR's own\nand its orders"),
        add_database(bm, "files", db_type="file", host=None, port=None, database_name=None),
    ]
    assert lists.ids() == ids
    assert lists.ids("?q=orders") == ids[:3]
    assert lists.ids("?q=alpha") == [ids[0], ids[2]]
    assert lists.ids("?q=a%25b") == ids[:1] and lists.ids("?q=_old") == ids[1:2] and lists.ids("?q=%25") == ids[:1]
    assert lists.ids("?q=nothing%20of%20that") == []
    assert lists.ids("?active=false") == ids[1:2] and lists.ids("?active=true&q=orders") == [ids[0], ids[2]]
    assert lists.ids(f"?group_id={groups[1]}") == ids[1:2] and lists.ids("?group_id=4711") == []
    for bad in ("limit=0", "limit=201", "after=x", "active=maybe", "group_id=0", "q=", "Q=x", "limit=1&limit=2"):
        assert lists.ask(f"?{bad}", 400)["errors"], bad
    assert lists.ask(f"/{ids[0]}?x=1", 400)["errors"]


def test_pages(bm, lists):
    ids = [add_database(bm, f"d{n}") for n in range(7)]
    seen, after = [], 0
    while after is not None:
        answer = lists.ask(f"?limit=3{f'&after={after}' if after else ''}")
        assert len(answer["databases"]) <= 3
        seen += [d["id"] for d in answer["databases"]]
        after = answer["next_after"]
    assert seen == ids
    assert lists.ids("?after=2147483647") == []


def test_who_may(bm, lists):
    database = add_database(bm)
    for path in ("/api/databases", f"/api/databases/{database}", f"/api/databases/{database}/details"):
        assert lists.server.ask("GET", path).status == 401
        assert lists.server.ask("GET", path, token="bm_nonsense").status == 401
        assert lists.server.ask("GET", path, token=lists.token).status == 200
