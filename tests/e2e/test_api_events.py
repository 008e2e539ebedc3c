"""GET /api/events: what happens is told to whoever listens, wherever it was done; and nobody pays when nobody listens."""

import contextlib
import functools
import http.client
import json
import socket
import threading
import time

import pytest

from harness.api import ApiServer, make_token
from harness.backup_rows import add_backup, add_copy
from harness.event_stream import EventStream
from harness.waiting import wait_for

PASSWORD = "correct horse battery"
LISTENERS = """SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7305173 AND granted
               AND mode = 'ShareLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


@pytest.fixture
def api(bm):
    return ApiServer(bm)


@pytest.fixture
def listen(bm, api):
    """Opens streams as a viewer; they are closed with the test."""
    streams, token = [], make_token(bm, "viewer")

    def open_stream(query="", last_id=None, server=api, headers=None, begun=True):
        stream = EventStream(server, headers or {"Authorization": f"Bearer {token}"}, query, last_id)
        streams.append(stream)
        if begun:
            assert stream.next().type == "reset"
        return stream

    yield open_stream
    for stream in streams:
        stream.close()


def database(bm, name="shop"):
    bm.ctl("database", "add", name, "--type", "file", "--path", "/etc/hostname")
    return bm.value("SELECT id FROM databases WHERE name = %s", name)


def backup(bm, database_id):
    """A failed backup and its one copy, by plain SQL: nobody works on it."""
    name = f"b{bm.value('SELECT count(*) FROM backups')}"
    backup_id = add_backup(bm, database_id, name, "failed")
    add_copy(bm, backup_id, "local", f"{name}.gz", "failed", base_path="/nowhere", storage_name="d")
    return backup_id


def touch(bm, backup_id, words):
    bm.query("UPDATE backups SET error_message = %s WHERE id = %s", words, backup_id)


# -- what is told


def test_a_backup_from_its_beginning_to_its_end(bm, api, listen):
    bm.destination("d1")
    database(bm)
    bm.assign("shop", "d1")
    stream = listen()
    assert stream.retry and stream.seen[0].data == {"reason": "new"} and stream.seen[0].id
    assert stream.answer.headers["Cache-Control"] == "no-store" and stream.answer.headers["X-Accel-Buffering"] == "no"
    backup_id = bm.run("shop")
    begun = stream.wait("backup")
    assert (begun.data["id"], begun.data["status"], begun.data["destinations"][0]["status"]) == (backup_id, "pending", "pending")
    bm.worker()
    end = stream.wait("backup", lambda b: b["status"] == "completed")
    assert end.data["id"] == backup_id and end.data["database"] == "shop"
    copy = end.data["destinations"][0]
    row = bm.rows(backup_id)[0]
    assert (copy["id"], copy["status"], copy["file_size"], copy["attempts"]) == (row["id"], "completed", row["file_size"], 1)
    assert copy["upload_completed_at"] and copy["storage_name"] == "d1" and "storage_config" not in copy
    told = [e.data["status"] for e in stream.seen if e.type == "backup"]
    assert told == sorted(told, key=["pending", "in_progress", "completed"].index)
    assert stream.wait("queue").data["queues"][0]["queue"] == "default"
    ids = [tuple(int(x, 16 if i == 1 else 10) for i, x in enumerate(e.id.split("-"))) for e in stream.seen]
    assert [n for _, _, n in ids] == sorted(n for _, _, n in ids) and [t for t, _, _ in ids] == sorted(t for t, _, _ in ids)

    bm.query("DELETE FROM backups WHERE id = %s", backup_id)
    assert stream.wait("backup_deleted").data == {"id": backup_id}


def test_configuration(bm, api, listen):
    stream = listen("?types=configuration")
    shop = database(bm)
    assert stream.next().data == {"kind": "database", "id": shop, "name": "shop", "database_id": None, "action": "create"}
    bm.destination("d1")
    bm.assign("shop", "d1")
    assert (stream.next().data["kind"], stream.next().data["kind"]) == ("destination", "assignment")
    bm.ctl("queue", "pause")
    paused = stream.next().data
    assert (paused["kind"], paused["name"], paused["action"]) == ("queue", "default", "create")
    bm.ctl("user", "add", "secretive", "--role", "viewer", "--ask", stdin=PASSWORD + "\n")
    bm.ctl("token", "create", "secretive", "--role", "viewer")
    bm.ctl("destination", "remove", "d1", check=False)
    bm.ctl("database", "update", "shop", "--path", "/etc/passwd")
    after = stream.wait("configuration", lambda d: d["kind"] == "database")
    assert after.data["action"] == "update"
    assert not {e.data.get("kind") for e in stream.seen} & {"user", "token"}


def test_operations(bm, api, listen):
    """A check of a copy, deep, from its acceptance to its end."""
    base = bm.destination("d1")
    bm.file_database("shop", "/etc/hostname")
    bm.assign("shop", "d1")
    worker = bm.worker()
    backup_id = bm.run("shop")
    assert bm.wait_ended(backup_id)["status"] == "completed" and base and worker.running
    stream, of_another = listen("?types=operation"), listen(f"?backup_id={backup_id + 1}")
    answer = api.ask("POST", f"/api/backups/{backup_id}/verify", {"deep": True}, make_token(bm, "operator"))
    assert answer.status == 202, answer
    states = []
    while not states or states[-1] not in ("done", "failed"):
        event = stream.next()
        assert (event.data["kind"], event.data["backup_id"]) == ("verify", backup_id)
        assert answer.headers["Location"].endswith(f"/{event.data['id']}")
        states.append(event.data["state"])
    assert states[0] == "waiting" and states[-1] == "done"
    bm.query("UPDATE operations SET bytes_done = 5, backup_id = backup_id + 1")
    assert of_another.next().data["bytes_done"] == 5


def test_queues(bm, api, listen):
    stream = listen("?types=queue")
    first = stream.next().data["queues"][0]
    assert first["ready"] == 0 and first["workers"] == 0 and first["paused_at"] is None
    bm.redis.client().rpush("bm:{default}:ready:3", '{"id":1,"op":"upload","backup_id":1,"priority":3}')
    changed = stream.next().data["queues"][0]
    assert changed["ready"] == 1 and changed["ready_by_priority"][3] == 1
    bm.ctl("queue", "pause")
    assert stream.next().data["queues"][0]["paused_at"]


def test_filters(bm, api, listen):
    shop, other = database(bm, "shop"), database(bm, "other")
    first, second, third = backup(bm, shop), backup(bm, other), backup(bm, shop)
    everything, of_shop, of_one = listen(), listen(f"?database_id={shop}&types=backup,backup_deleted"), listen(f"?backup_id={third}")
    for n in range(3):
        for backup_id in (first, second, third):
            touch(bm, backup_id, f"turn {n}")
    last = lambda b: b["id"] == third and b["error_message"] == "turn 2"  # noqa: E731
    for stream in (everything, of_shop, of_one):
        stream.wait("backup", last)
    ids = lambda stream: {e.data["id"] for e in stream.seen if e.type == "backup"}  # noqa: E731
    assert (ids(everything), ids(of_shop), ids(of_one)) == ({first, second, third}, {first, third}, {third})
    assert {e.type for e in of_one.seen} == {"reset", "backup"}

    token = make_token(bm, "viewer")
    for query, words in (("types=backup,nonsense", "nonsense"), ("backup_id=x", "backup_id"), ("nonsense=1", "nonsense"), ("database_id=0", "database_id")):
        answer = api.ask("GET", f"/api/events?{query}", token=token)
        assert answer.status == 400 and words in str(answer.json["errors"]), answer
    assert api.ask("HEAD", "/api/events", token=token).status == 200


def test_many_changes_are_few_statements(bm, api, listen):
    """One statement for what is touched in a while, for however many who listen."""
    shop = database(bm)
    ids = [backup(bm, shop) for _ in range(20)]
    bm.postgres.execute(bm.database, f"ALTER DATABASE {bm.database} SET log_statement = 'all'")
    began, before = time.monotonic(), bm.postgres.log().count("events_backups")
    viewers = [{"Authorization": f"Bearer {make_token(bm, 'viewer')}"} for _ in range(2)]
    streams = [listen("?types=backup", headers=viewers[i % 2]) for i in range(60)]
    for n in range(10):
        for backup_id in ids:
            touch(bm, backup_id, f"turn {n}")
    for stream in streams:
        told = {}
        while set(told.values()) != {"turn 9"} or len(told) < len(ids):
            event = stream.wait("backup")
            told[event.data["id"]] = event.data["error_message"]
    statements = bm.postgres.log().count("events_backups") - before
    assert 0 < statements <= (time.monotonic() - began) / 0.2 + 1, "a pause of 200 ms lies between them"
    first = [(e.id, e.data) for e in streams[0].seen if e.type == "backup"]
    for stream in streams[1:]:
        assert [(e.id, e.data) for e in stream.seen if e.type == "backup"] == first, "all read the same events"


# -- coming back


def test_what_was_missed_is_told_again(bm, api, listen):
    shop = database(bm)
    one, two = backup(bm, shop), backup(bm, shop)
    stream = listen("?types=backup")
    touch(bm, one, "before")
    seen = stream.wait("backup").id
    stream.close()
    keeper = listen("?types=backup")
    for backup_id, words in ((one, "first"), (two, "second")):
        touch(bm, backup_id, words)
        keeper.wait("backup", lambda b: b["error_message"] == words)
    again = listen("?types=backup", last_id=seen, begun=False)
    assert [(again.next().data["error_message"]) for _ in range(2)] == ["first", "second"]
    touch(bm, one, "third")
    assert again.next().data["error_message"] == "third", "nothing twice, no reset"
    last = listen("?types=backup", last_id=again.last_id, begun=False)
    touch(bm, one, "fourth")
    assert last.next().data["error_message"] == "fourth"


@pytest.mark.parametrize("last_id", ["nonsense", "1-2-3", "-1--2--3", "99999999999999-00000000-1", "0-0-0", "9" * 500, "1764170000000-deadbeef-18446744073709551615"])
def test_an_unknown_place_is_a_reset(bm, api, listen, last_id):
    keeper = listen()
    stream = listen(last_id=last_id, begun=False)
    event = stream.next()
    assert event.type == "reset" and event.data == {"reason": "unknown id"}
    assert event.id.split("-")[1] == keeper.seen[0].id.split("-")[1]


def test_the_id_of_another_server(bm, api, listen):
    """It is a place in the log of one that has listened for long enough (unit_api_event_log); of this one it can't be."""
    one = backup(bm, database(bm))
    other = ApiServer(bm)
    here, there = listen("?types=backup"), listen("?types=backup", server=other)
    touch(bm, one, "both know")
    seen = here.wait("backup").id
    there.wait("backup")
    assert listen("?types=backup", last_id=seen, server=other, begun=False).next().type == "reset"


# -- PostgreSQL goes, and what nobody notified of


def test_after_a_lost_connection(bm, api, listen):
    shop = database(bm)
    one = backup(bm, shop)
    stream = listen()
    touch(bm, one, "before")
    before = stream.wait("backup")
    bm.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'backup-api events' AND datname = current_database()")
    assert stream.wait("reset").id.split("-")[1] != before.id.split("-")[1]
    touch(bm, one, "after")
    assert stream.wait("backup").data["error_message"] == "after"
    assert listen(last_id=before.id, begun=False).next().type == "reset"


def test_a_transaction_from_before_anybody_listened(bm, api, listen):
    """It notified nobody, and ends while somebody listens: clients are told to load everything anew."""
    shop = database(bm)
    silent, loud = backup(bm, shop), backup(bm, shop)
    slow = bm.postgres.connect(bm.database)
    slow.autocommit = False
    cursor = slow.cursor()
    cursor.execute("UPDATE backups SET error_message = 'in silence' WHERE id = %s", (silent,))
    assert bm.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7305173 AND mode = 'ExclusiveLock'") == 1
    stream = listen()
    for n in range(6):  # of whichever connection, for the locks differ
        bm.postgres.execute(bm.database, "UPDATE backups SET error_message = %s WHERE id = %s", (f"heard {n}", loud))
        stream.wait("backup", lambda b: b["error_message"] == f"heard {n}")
    slow.commit()
    slow.close()
    stream.wait("reset")
    assert not [e for e in stream.seen if e.type == "backup" and e.data["id"] == silent]
    touch(bm, silent, "heard too")
    stream.wait("backup", lambda b: b["id"] == silent)


def test_nobody_listens_nobody_notifies(bm, api, listen):
    """A writer that finds its lock free notifies nobody (bm_nobody_listens)."""
    shop = database(bm)
    one = backup(bm, shop)

    def notifies():
        connection = bm.postgres.connect(bm.database)
        connection.autocommit = False
        with connection.cursor() as cursor:
            cursor.execute("UPDATE backups SET error_message = 'x' WHERE id = %s", (one,))
            cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND classid = 7305173)")
            silent = cursor.fetchone()[0]
        connection.rollback()
        connection.close()
        return not silent

    assert bm.value(LISTENERS) == 0 and not notifies()
    stream = listen()
    assert bm.value(LISTENERS) == 1 and notifies()
    other = ApiServer(bm)
    second = listen(server=other)
    assert bm.value(LISTENERS) == 2, "listeners don't hinder each other"
    touch(bm, one, "both")
    stream.wait("backup"), second.wait("backup")
    other.process.kill()
    wait_for(lambda: bm.value(LISTENERS) == 1)
    api.process.kill()
    wait_for(lambda: bm.value(LISTENERS) == 0)
    assert not notifies()


def test_the_connection_goes_some_time_after_the_last_stream(bm, api, listen):
    """A page that is loaded anew finds it; in the end writers are free of it."""
    stream = listen()
    pid = bm.value("SELECT pid FROM pg_stat_activity WHERE application_name = 'backup-api events' AND datname = current_database()")
    stream.close()
    stream = listen()
    assert bm.value("SELECT pid FROM pg_stat_activity WHERE application_name = 'backup-api events' AND datname = current_database()") == pid
    stream.close()
    wait_for(lambda: bm.value(LISTENERS) == 0, 180, every=1)
    one = backup(bm, database(bm))
    stream = listen("?types=backup")
    touch(bm, one, "again")
    assert stream.next().data["error_message"] == "again"
    assert "don't arrive" not in api.process.log()


def test_no_change_is_missed_while_streams_come_and_go(bm, api, listen):
    """Writers and listeners begin and end side by side; every last state is told, or a reset says to load it."""
    shop = database(bm)
    ids = [backup(bm, shop) for _ in range(8)]
    done = threading.Event()
    connections = [bm.postgres.connect(bm.database) for _ in ids]

    def write(connection, backup_id):
        connection.autocommit = True
        n = 0
        with connection.cursor() as cursor:
            while not done.is_set():
                n += 1
                cursor.execute("UPDATE backups SET error_message = %s WHERE id = %s", (str(n), backup_id))

    threads = [threading.Thread(target=write, args=pair) for pair in zip(connections, ids)]
    for thread in threads:
        thread.start()
    try:
        streams = [listen("?types=backup") for _ in range(5)]
        for stream in streams:
            for _ in range(50):
                stream.wait("backup")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    finals = {row["id"]: row["error_message"] for row in bm.query("SELECT id, error_message FROM backups")}

    def after(told, event):
        """What a page shows that showed this: it loads everything at a reset, when a writer held up the listener's locks."""
        assert event.type in ("backup", "reset"), event
        return dict(finals) if event.type == "reset" else {**told, event.data["id"]: event.data["error_message"]}

    for stream in streams:
        told = functools.reduce(after, stream.seen[1:], {})  # but for the reset with which it begins
        while told != finals:
            told = after(told, stream.next())


# -- who may listen, and for how long


def test_streams_leave_room_for_downloads(bm, api):
    base, token = bm.directory("there"), make_token(bm)
    tokens = [make_token(bm, "viewer") for _ in range(16)]
    with open(f"{base}/a.gz", "wb") as f:
        f.write(b"x" * 100)
    there = add_backup(bm, database(bm), "there", "completed")
    add_copy(bm, there, "local", "a.gz", base_path=base, file_size=100)
    with contextlib.ExitStack() as open_ones:
        for i in range(481):
            sock = open_ones.enter_context(socket.create_connection(api.socket_address, timeout=60))
            sock.sendall(f"GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tokens[i // 32]}\r\n\r\n".encode())
            assert sock.recv(12) == (b"HTTP/1.1 200" if i < 480 else b"HTTP/1.1 503")
        assert api.ask("GET", f"/api/backups/{there}/download", token=token).bytes == b"x" * 100


def test_one_user_leaves_room_for_the_others(bm, api, listen):
    """A user's sessions and tokens count together, a token without a user for itself; a stream that has ended, whoever
    ended it, leaves its place, and no other."""
    bm.ctl("user", "add", "vera", "--role", "viewer", "--ask", stdin=PASSWORD + "\n")
    vera = bm.value("SELECT id FROM users WHERE username = 'vera'")
    token, passing = make_token(bm, "viewer", created_by=vera), make_token(bm, "viewer", created_by=vera, name="passing")
    session, bearer = api.log_in("vera", PASSWORD), {"Authorization": f"Bearer {token}"}
    identities = [bearer, {"Authorization": f"Bearer {passing}"}, {"Cookie": f"bm_session={session.cookie}"}]

    def answer_to(headers):
        connection = http.client.HTTPConnection(*api.socket_address, timeout=60)
        connection.request("GET", "/api/events", headers=headers)
        return connection, connection.getresponse()

    def place():
        """A stream by `token`, or None when there is none to be had."""
        connection, answer = answer_to(bearer)
        if answer.status == 200:
            return connection
        assert answer.status == 429, answer.status
        connection.close()
        return None

    streams = [listen(headers=identities[i % 3]) for i in range(32)]
    for headers in identities:
        connection, answer = answer_to(headers)
        assert answer.status == 429 and answer.headers["Retry-After"] == "15"
        detail = json.loads(answer.read())["detail"]
        assert "32 of your event streams" in detail and "close one" in detail
        connection.close()
    listen()  # somebody else
    assert api.ask("GET", "/api/events?backup_id=x", token=token).status == 400
    gone, by_passing, by_session = (streams[i::3] for i in range(3))
    with contextlib.ExitStack() as open_ones:

        def take(n):
            for _ in range(n):
                open_ones.callback(wait_for(place).close)
            assert place() is None

        for stream in gone:  # noticed with the next comment
            stream.close()
        take(len(gone))
        bm.ctl("token", "revoke", "passing")
        for stream in by_passing:
            stream.wait_end()
        take(len(by_passing))
        assert session.ask("POST", "/api/logout").status == 204
        for stream in by_session:
            stream.wait_end()
        take(len(by_session))


def test_an_ended_session_ends_its_streams(bm, api, listen):
    bm.ctl("user", "add", "vera", "--role", "viewer", "--ask", stdin=PASSWORD + "\n")
    session = api.log_in("vera", PASSWORD)
    token = make_token(bm, "viewer", name="passing")
    by_cookie = listen(headers={"Cookie": f"bm_session={session.cookie}"})
    by_token = listen(headers={"Authorization": f"Bearer {token}"})
    stays = listen()
    assert session.ask("POST", "/api/logout").status == 204
    by_cookie.wait_end()
    bm.ctl("token", "revoke", "passing")
    by_token.wait_end()
    database(bm)
    stays.wait("configuration")
    for headers in ({"Cookie": f"bm_session={session.cookie}"}, {"Authorization": f"Bearer {token}"}, {}):
        assert api.ask("GET", "/api/events", headers=headers).status == 401


def test_a_client_that_takes_nothing_is_cut(bm, api, listen):
    """It is not waited for: it costs a bounded buffer, and the others nothing."""
    shop = database(bm)
    ids = [backup(bm, shop) for _ in range(150)]
    token = make_token(bm, "viewer")
    slow = api.connect()
    slow.sendall(f"GET /api/events?types=backup HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    wait_for(lambda: bm.value(LISTENERS) == 1)
    quick = listen("?types=backup")
    answer = http.client.HTTPResponse(slow)
    answer.begin()
    words, turns = "x" * 1900, 0
    while turns * len(ids) * len(words) < 24 << 20:  # more than the log and both sockets' buffers hold
        turns += 1
        bm.query("UPDATE backups SET error_message = %s || id WHERE id = ANY (%s)", f"{turns} {words}", ids)
        quick.wait("backup", lambda b: b["error_message"].startswith(f"{turns} "))
    taken = 0
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        while block := answer.read(1 << 16):
            taken += len(block)
    assert taken < turns * len(ids) * len(words)
    slow.close()


def test_comments_in_silence(bm, api, listen):
    """Proxies close what is silent; a client that has gone is noticed."""
    stream = listen("?backup_id=1")
    began = time.monotonic()
    reader = threading.Thread(target=stream.next, daemon=True)
    reader.start()
    wait_for(lambda: stream.comments > 0, 40)
    assert time.monotonic() - began > 5
    api.process.ask_to_end()
    reader.join(30)
    assert not reader.is_alive(), "the end of the server ends streams"
