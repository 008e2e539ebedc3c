"""The queue's Lua scripts as the programs call them, and the rules that must hold over Redis after each call."""

import json
import os
from collections import defaultdict, namedtuple

from harness.system import REPOSITORY

SCRIPTS = os.path.join(REPOSITORY, "common", "queue")
BANDS = range(10)
BELL_MAX = 64
HOUR = 3_600_000

Turn = namedtuple("Turn", "lost claimed malformed duplicates next_due_ms keys")
Settle = namedtuple("Settle", "key token outcome argument payload", defaults=("", ""))


def job(id, op="upload", priority=0, attempt=1, enqueued_at="2025-11-02T08:00:00Z", **more):
    """A job's line, as job_format writes it."""
    members = {"id": id, "op": op, "backup_id": id, "backup": f"b_{id}", "storage_type": "local", "storage_name": "disk",
               "priority": priority, "attempt": attempt, "enqueued_at": enqueued_at, **more}  # fmt: skip
    return json.dumps(members, separators=(",", ":")).encode()


def key_of(line):
    members = json.loads(line)
    return f"{members['op']}:{int(members['id'])}".encode()


class Queue:
    """One queue in one Redis. Answers are bytes: lines may be anything."""

    def __init__(self, client, name="default"):
        self.redis = client
        self.prefix = "bm:{%s}" % name
        with open(os.path.join(SCRIPTS, "prelude.lua")) as f:
            prelude = f.read()
        self.scripts = {}
        for script in ("enqueue", "work", "heartbeat", "leave", "unpark", "reap"):
            with open(os.path.join(SCRIPTS, f"{script}.lua")) as f:
                self.scripts[script] = client.register_script(f"{prelude}\n{f.read()}")

    def _call(self, script, *args):
        return self.scripts[script](keys=[self.prefix], args=args)

    def key(self, suffix):
        return f"{self.prefix}:{suffix}"

    # -- the scripts

    def enqueue(self, *lines, where="ready"):
        args = [len(lines)]
        for line in lines:
            args += [key_of(line), where, line]
        return self._call("enqueue", *args)

    def turn(self, worker="w1", want=0, settles=(), host="h1", lease_ms=HOUR, first_token=1, starving_before="",
             dead_max=100):  # fmt: skip
        args = [worker, host, lease_ms, want, first_token, starving_before, dead_max, len(settles)]
        for settle in settles:
            args += settle
        return Turn(*self._call("work", *args))

    def claim(self, want=1, worker="w1", **options):
        return self.turn(worker, want, **options).claimed

    def settle(self, key, token, outcome, argument="", payload="", worker="w1", **options):
        """True when the job was the worker's to settle."""
        lost = self.turn(worker, settles=[Settle(key, token, outcome, argument, payload)], **options).lost
        return lost != [key]

    def heartbeat(self, *held, worker="w1", lease_ms=HOUR, details='"host":"h1"'):
        args = [worker, details, lease_ms, len(held)]
        for entry in held:
            args += entry
        return self._call("heartbeat", *args)

    def leave(self, worker="w1"):
        return self._call("leave", worker)

    def unpark(self, why, *keys, count=0):
        return self._call("unpark", why, count, *keys)

    def reap(self, max=1000, worker_ttl_ms=HOUR):
        return self._call("reap", max, worker_ttl_ms)

    # -- what stands where

    def ready(self, band=0):
        return self.redis.lrange(self.key(f"ready:{band}"), 0, -1)

    def active(self, worker="w1"):
        return self.redis.lrange(self.key(f"active:{worker}"), 0, -1)

    def parked(self, why):
        return self.redis.lrange(self.key(f"parked:{why}"), 0, -1)

    def retry(self):
        return self.redis.zrange(self.key("retry"), 0, -1)

    def dead(self):
        return [json.loads(line) for line in self.redis.lrange(self.key("dead"), 0, -1)]

    def place(self, key):
        """The record of a job: ready:0, active:w1, retry:<due>, parked:paused; None when it is not live."""
        record = self.redis.hget(self.key("jobs"), key)
        return record.split(b" ")[0].decode() if record else None

    def bell(self):
        return self.redis.llen(self.key("bell"))

    def snapshot(self):
        """All of Redis, to see that nothing changed."""
        pipe, names = self.redis.pipeline(), sorted(self.redis.keys("*"))
        for name in names:
            pipe.dump(name)
        return dict(zip(names, pipe.execute()))

    # -- design.md 4, invariants 2 and 3

    def check(self, dead_max=None):
        """Each live job in exactly one of ready, active, retry, parked; active <=> lease; the jobs hash agrees."""
        breaches = self.breaches(dead_max)
        assert not breaches, "\n".join(breaches)

    def breaches(self, dead_max=None):
        names = [name.decode()[len(self.prefix) + 1:] for name in self.redis.keys(self.key("*"))]  # fmt: skip
        lists = [n for n in names if n.split(":")[0] in ("ready", "active", "parked") and n != "parked"]
        pipe = self.redis.pipeline()
        pipe.hgetall(self.key("jobs")).zrange(self.key("retry"), 0, -1, withscores=True)
        pipe.zrange(self.key("lease"), 0, -1).smembers(self.key("parked"))
        pipe.llen(self.key("bell")).llen(self.key("dead"))
        for name in lists:
            pipe.lrange(self.key(name), 0, -1)
        jobs, retry, lease, parked, bell, dead, *contents = pipe.execute()

        found, stands = [], defaultdict(list)
        for name, lines in zip(lists, contents):
            for line in lines:
                if readable(line):
                    stands[key_of(line)].append((name, line))
        for line, due in retry:
            if readable(line):
                stands[key_of(line)].append((f"retry:{int(due)}", line))
        for key, places in stands.items():
            if len(places) > 1:
                found.append(f"{key} stands in {[place for place, _ in places]}")
        for key in set(jobs) | set(stands):
            record, places = jobs.get(key), stands.get(key, [])
            if record is None or not places:
                found.append(f"{key}: recorded as {record}, stands in {places}")
                continue
            place, _, rest = record.decode("utf-8", "replace").partition(" ")
            standing, line = places[0]
            if place != standing:
                found.append(f"{key}: recorded as {place}, stands in {standing}")
            elif not place.startswith("ready:") and rest.partition(" ")[2] != line.decode("utf-8", "replace"):
                found.append(f"{key}: recorded as {record}, stands as {line}")
        active = {key for key, places in stands.items() for place, _ in places if place.startswith("active:")}
        if active != set(lease):
            found.append(f"active {sorted(active)}, leased {sorted(lease)}")
        filled = {n.partition(":")[2].encode() for n in lists if n.startswith("parked:")}
        if not filled <= parked:
            found.append(f"parked lists {sorted(filled)}, announced {sorted(parked)}")
        if bell > BELL_MAX:
            found.append(f"{bell} strokes of the bell")
        if dead_max is not None and dead > dead_max:
            found.append(f"{dead} dead jobs, at most {dead_max}")
        return found


def readable(line):
    """Whether a line is a job at all; what is not waits for a claim to bury it."""
    try:
        members = json.loads(line)
        return isinstance(members, dict) and isinstance(members["id"], int) and isinstance(members["op"], str)
    except (ValueError, KeyError, UnicodeDecodeError, RecursionError):
        return False
