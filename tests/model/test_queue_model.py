"""A model of the queue beside the real scripts: random operations, the same answers from both, the rules after each.

The model knows the exact order of every list. Time enters in two ways only: a delay or lease is either over at once
(0 ms) or not during the test (an hour)."""

import json
import os
import random

import pytest
import redis as redis_module

from harness.queue_scripts import HOUR, Queue, Settle, job, key_of
from harness.servers import Redis

WORKERS = {"w1": "h1", "w2": "h1", "w3": "h2"}
REASONS = ("artifact", "paused", "full:7", "host:h1", "host:h2")
BAD = (b"nonsense", b'{"id":"1"}', b"\xff\xfe\x00", b'{"id":1e999,"op":"upload"}', b"[" * 50, b"{}")
DEAD_MAX = 20
PROMOTED = 100


class Model:
    """Job states in plain Python. place: ready | active | retry | parked; `lists` holds the order."""

    def __init__(self):
        self.flushall()

    def flushall(self):
        self.place = {}  # key -> (list name, token, line); for retry: ("retry", due, line)
        self.lists = {}  # "ready:0", "active:w1", "parked:order" -> lines
        self.silent = set()  # active jobs whose lease is over
        self.dead = 0
        self.workers = set()

    def list(self, name):
        return self.lists.setdefault(name, [])

    def put_ready(self, key, line, front=False):
        name = f"ready:{max(0, min(json.loads(line)['priority'], 9))}"
        self.list(name).insert(0 if front else len(self.list(name)), line)
        self.place[key] = (name, None, line)

    def put(self, key, where, line):
        self.list(where).append(line)
        self.place[key] = (where, None, line)

    def put_retry(self, key, due, line):
        self.place[key] = ("retry", due, line)

    def take_out(self, key):
        name, _, line = self.place.pop(key)
        if name != "retry":
            self.lists[name].remove(line)
        self.silent.discard(key)

    def state(self, key):
        return self.place[key][0].split(":")[0] if key in self.place else None

    def holds(self, worker, key, token):
        return key in self.place and self.place[key][:2] == (f"active:{worker}", token)


class Run:
    def __init__(self, queue, seed):
        self.queue, self.model, self.random = queue, Model(), random.Random(seed)
        self.token = 1
        self.clock = 0
        self.held = []  # (worker, key, token, line) ever claimed: live claims and stale ones
        self.log = []

    # -- choices

    def new_line(self, id=None, attempt=1):
        self.clock += 1
        stamp = f"2025-11-02T{self.clock // 3600 % 24:02}:{self.clock // 60 % 60:02}:{self.clock % 60:02}Z"
        return job(id or self.random.randint(1, 40), op=self.random.choice(("upload", "upload", "verify")),
                   priority=self.random.choice((0, 0, 1, 2, 5, 9, 12, -1)), attempt=attempt, enqueued_at=stamp)  # fmt: skip

    def again(self, line):
        """The same job's next line."""
        members = json.loads(line)
        return job(**{**members, "attempt": members["attempt"] + 1})

    def due_of(self, key):
        return int(self.queue.place(key)[len("retry:"):])  # fmt: skip

    # -- operations: each does it to both and compares the answers

    def enqueue(self):
        batch = [self.new_line() for _ in range(self.random.randint(1, 6))]
        where = self.random.choice(("ready", "ready", "ready", "retry:0", f"retry:{HOUR}", "parked:artifact", "parked:paused"))
        expected, model = [], self.model
        for line in batch:
            key, state = key_of(line), model.state(key_of(line))
            if state in ("retry", "parked") and where == "ready":
                model.take_out(key)
                model.put_ready(key, line)
                expected.append(2)
            elif state:
                expected.append(0)
            else:
                if where == "ready":
                    model.put_ready(key, line)
                elif where.startswith("parked:"):
                    model.put(key, where, line)
                else:
                    model.put_retry(key, None, line)
                expected.append(1)
        assert self.queue.enqueue(*batch, where=where) == expected
        self.read_dues()

    def read_dues(self):
        for key, (name, due, line) in self.model.place.items():
            if name == "retry" and due is None:
                self.model.place[key] = (name, self.due_of(key), line)

    def push_malformed(self):
        line = self.random.choice(BAD)
        name = self.random.choice(("ready:0", "ready:3", "ready:9", "parked:host:h1", "parked:full:7"))
        self.queue.redis.rpush(self.queue.key(name), line)
        self.model.list(name).append(line)
        if name.startswith("parked:"):  # as an operator's push would not: the rules speak of announced lists only
            self.queue.redis.sadd(self.queue.key("parked"), name[7:])

    def turn(self):
        model, choose = self.model, self.random
        worker = choose.choice(list(WORKERS))
        host = WORKERS[worker]
        handed = f"parked:host:{host}"
        settles, lost = [], []
        for _ in range(choose.choice((0, 1, 2, 5))):
            if not self.held:
                break
            owner, key, token, line = choose.choice(self.held)
            if key in [s.key for s in settles]:
                continue
            if choose.random() < 0.1:
                token += 1
            settle = Settle(key, token, *choose.choice((
                ("ack",), ("ack",), ("ack",), ("retry", "0"), ("retry", str(HOUR)),
                ("park", choose.choice(REASONS)), ("ready",), ("bury", "failed for good"))))  # fmt: skip
            settles.append(settle._replace(payload=self.again(line) if settle.outcome != "ack" else ""))
            if not self.settle_model(worker, settles[-1]):
                lost.append(key)

        want = choose.choice((0, 1, 3, 8, 16))
        if any((s.outcome, s.argument) == ("retry", "0") for s in settles):
            want = 0  # its due time, and with it its place among the promoted, is known only afterwards
        room = want - min(want, len(model.list(handed)))
        starving_before = "2025-11-03" if room >= 4 and choose.random() < 0.5 else ""  # below 4 chance decides
        silent = choose.random() < 0.2
        first, self.token = self.token, self.token + max(want, 1)
        turn = self.queue.turn(worker, want, settles, host=host, lease_ms=0 if silent else HOUR, first_token=first,
                               starving_before=starving_before, dead_max=DEAD_MAX)  # fmt: skip
        assert turn.lost == lost
        self.read_dues()
        claimed, malformed = self.claim_model(want, handed, starving_before)
        assert (turn.claimed, turn.malformed, turn.duplicates) == (claimed, malformed, 0)
        assert turn.keys == [key_of(line) for line in claimed]
        for i, line in enumerate(claimed):
            key = key_of(line)
            model.list(f"active:{worker}").append(line)
            model.place[key] = (f"active:{worker}", first + i, line)
            if silent:
                model.silent.add(key)
            self.held.append((worker, key, first + i, line))
        if malformed:
            model.dead = min(DEAD_MAX, model.dead + malformed)

    def settle_model(self, worker, settle):
        model, key = self.model, settle.key
        ours = model.holds(worker, key, settle.token)
        if not ours and key in model.place:
            return False
        if ours:
            model.take_out(key)
        if settle.outcome == "retry":
            model.put_retry(key, None, settle.payload)
        elif settle.outcome == "park":
            model.put(key, f"parked:{settle.argument}", settle.payload)
        elif settle.outcome == "ready":
            model.put_ready(key, settle.payload, front=True)
        elif settle.outcome == "bury" and ours:
            model.dead = min(DEAD_MAX, model.dead + 1)
        return True

    def claim_model(self, want, handed, starving_before):
        model = self.model
        if want == 0:
            return [], 0
        seconds, micros = self.queue.redis.time()
        now = seconds * 1000 + micros // 1000
        due = sorted((due, line, key) for key, (name, due, line) in model.place.items() if name == "retry" and due <= now)
        for _, line, key in due[:PROMOTED]:
            model.put_ready(key, line)

        popped = []

        def pop(name, n):
            lines = model.list(name)
            popped.extend(lines[: max(n, 0)])
            del lines[: max(n, 0)]

        pop(handed, want)
        for _ in range((want - len(popped)) // 4):
            heads = []
            for band in range(10):
                lines = model.list(f"ready:{band}")
                if lines:
                    heads.append((json.loads(lines[0])["enqueued_at"] if lines[0] not in BAD else "", band))
            waiting = [head for head in heads if head[0] < starving_before]
            if len(heads) < 2 and not popped or not waiting:
                break
            pop(f"ready:{min(waiting)[1]}", 1)
        for band in range(10):
            pop(f"ready:{band}", want - len(popped))
        claimed = [line for line in popped if line not in BAD]
        for line in claimed:
            del model.place[key_of(line)]
        return claimed, len(popped) - len(claimed)

    def heartbeat(self):
        model, worker = self.model, self.random.choice(list(WORKERS))
        beats, expected = [], []
        for owner, key, token, line in self.random.sample(self.held, min(len(self.held), 4)):
            if owner != worker or key in [beat[0] for beat in beats]:
                continue
            beats.append((key, token, line))
            if model.holds(worker, key, token):
                expected.append(1)
                model.silent.discard(key)
            elif key in model.place:
                expected.append(0)
            else:
                expected.append(2)
                model.list(f"active:{worker}").append(line)
                model.place[key] = (f"active:{worker}", token, line)
        assert self.queue.heartbeat(*beats, worker=worker) == expected
        model.workers.add(worker)

    def leave(self):
        worker = self.random.choice(list(WORKERS))
        assert self.queue.leave(worker) == (worker in self.model.workers)
        self.model.workers.discard(worker)

    def fall_silent(self):
        """The leases of one worker run out."""
        worker = self.random.choice(list(WORKERS))
        for key, (name, _, _) in self.model.place.items():
            if name == f"active:{worker}":
                self.queue.redis.zadd(self.queue.key("lease"), {key: 1})
                self.model.silent.add(key)

    def reap(self):
        model = self.model
        leases = self.queue.redis.zrange(self.queue.key("lease"), 0, -1)
        expired = [key for key in leases if key in model.silent]
        limit = self.random.choice((1, 3, 1000))
        for key in expired[:limit]:
            line = model.place[key][2]
            model.take_out(key)
            model.put_ready(key, line, front=True)
        assert self.queue.reap(max=limit) == [min(limit, len(expired)), 0]

    def unpark(self):
        model, why = self.model, self.random.choice(REASONS)
        name, moved = f"parked:{why}", 0
        if self.random.random() < 0.5:
            count = self.random.choice((1, 2, 50))
            got = model.list(name)[:count]
            del model.list(name)[:count]
            for line in reversed(got):
                if line in BAD:
                    model.dead += 1  # the next burial trims
                else:
                    model.put_ready(key_of(line), line, front=True)
                    moved += 1
            assert self.queue.unpark(why, count=count) == moved
            return
        keys = [key for key, (place, _, _) in model.place.items() if place.startswith("parked:")]
        keys = self.random.sample(keys, min(len(keys), 3)) + [b"upload:99", b"upload:1"]
        for key in reversed(keys):
            if model.state(key) == "parked" and model.place[key][0] == name:
                line = model.place[key][2]
                model.take_out(key)
                model.put_ready(key, line, front=True)
                moved += 1
        assert self.queue.unpark(why, *keys) == moved

    def flushall(self):
        self.queue.redis.flushall()
        self.model.flushall()

    # -- a step and what must be true after it

    OPERATIONS = {"turn": 50, "enqueue": 25, "heartbeat": 8, "reap": 5, "unpark": 6, "push_malformed": 2,
                  "fall_silent": 2, "leave": 2, "flushall": 0.4}  # fmt: skip

    def step(self):
        name = self.random.choices(list(self.OPERATIONS), self.OPERATIONS.values())[0]
        self.log = (self.log + [name])[-20:]
        getattr(self, name)()
        if len(self.held) > 60:
            live = [h for h in self.held if self.model.holds(h[0], h[1], h[2])]
            self.held = live + self.random.sample(self.held, 20)
        self.compare()

    def compare(self):
        queue, model = self.queue, self.model
        queue.check()
        jobs = queue.redis.hgetall(queue.key("jobs"))
        assert set(jobs) == set(model.place)
        for key, (name, token, line) in model.place.items():
            expected = {
                "ready": f"{name}".encode(),
                "active": f"{name} {token} ".encode() + line,
                "retry": f"retry:{token} - ".encode() + line,
                "parked": f"{name} - ".encode() + line,
            }[model.state(key)]
            assert jobs[key] == expected
        pipe = queue.redis.pipeline()
        for name in model.lists:
            pipe.lrange(queue.key(name), 0, -1)
        for (name, lines), real in zip(model.lists.items(), pipe.execute()):
            assert real == lines, name
        assert queue.redis.llen(queue.key("dead")) == model.dead


@pytest.fixture(scope="module")
def server(session_dir):
    server = Redis(os.path.join(session_dir, "redis-model")).start()
    yield server
    server.stop()


def run(server, seed, steps):
    print(f"\nBM_MODEL_SEED={seed} BM_MODEL_STEPS={steps}")
    client = redis_module.Redis(unix_socket_path=server.socket)
    client.flushall()
    trial = Run(Queue(client), seed)
    for step in range(steps):
        try:
            trial.step()
        except Exception as e:
            raise AssertionError(f"BM_MODEL_SEED={seed}, step {step}, after {' '.join(trial.log)}: {e}") from e


STEPS = int(os.environ.get("BM_MODEL_STEPS", "2000"))


def test_a_known_run(server):
    run(server, 1, STEPS)


def test_a_run_never_seen_before(server):
    run(server, int(os.environ.get("BM_MODEL_SEED", random.SystemRandom().randrange(1 << 32))), STEPS)
