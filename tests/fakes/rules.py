"""Faults as data: a rule says which request it waits for and what shall go wrong with it.

    {"match": {"operation": "UploadPart", "key": "^db/", "nth": 2, "count": 1},
     "action": {"type": "close_request", "bytes": 100000, "reset": true}}

README.md lists the matches and actions. A script with a name that isn't known is refused, not ignored. Rules are
asked in their order; the first that is due is the request's only one.
"""

import re
import threading

MATCHES = {"operation", "bucket", "key", "part", "tls", "header", "query", "nth", "count"}
ACTIONS = {
    "respond": {
        "status": 503,
        "code": None,
        "message": "",
        "headers": {},
        "body": None,
        "early": False,
        "region": None,
    },
    "error_in_200": {
        "code": "InternalError",
        "message": "We encountered an internal error. Please try again.",
        "spaces": 20,
        "apply": False,
    },
    "drop_answer": {"reset": False},
    "close_request": {"bytes": 0, "reset": False},
    "close_response": {"bytes": 0, "of": "body", "reset": False},
    "close_after_answer": {},
    "delay": {"ms": 100, "at": "answer"},
    "hold": {"name": "hold", "at": "answer", "bytes": None},
    "stall": {"at": "answer", "bytes": None},
    "slow": {"ms": 1, "bytes": 1},
    "truncate": {"bytes": None},
    "endless": {"status": 200, "of": "body", "piece": "<a>endless</a>"},
    "garbage": {"status": 200, "body": "\x00\x01 not what you hoped for <<<&"},
    "alter": {"status": None, "headers": {}, "body": None, "replace": {}},
    "expire_credentials": {},
}
PLACES = ("head", "body", "answer")


class Rule:
    def __init__(self, text, number, actions):
        unknown = set(text) - {"id", "match", "action", "before_auth"}
        self.id = text.get("id", f"rule-{number}")
        self.match = dict(text.get("match", {}))
        self.before_auth = bool(text.get("before_auth", False))
        action = dict(text.get("action", {}))
        kind = action.get("type")
        unknown |= set(self.match) - MATCHES
        if kind not in actions:
            raise ValueError(f"rule {self.id}: no action '{kind}'; there are: {', '.join(sorted(actions))}")
        unknown |= set(action) - set(actions[kind]) - {"type"}
        if unknown:
            raise ValueError(f"rule {self.id}: unknown {', '.join(sorted(unknown))}")
        self.kind = kind
        self.action = {**actions[kind], **action}
        if actions[kind].get("at") in PLACES and self.action["at"] not in PLACES:
            raise ValueError(f"rule {self.id}: 'at' is one of {', '.join(PLACES)}")
        self.nth = int(self.match.get("nth", 1))
        self.count = int(self.match.get("count", 1))  # 0: for ever
        self.key = re.compile(self.match["key"]) if "key" in self.match else None
        self.seen = 0
        self.fired = 0

    def __getitem__(self, name):
        return self.action[name]

    def _concerns(self, facts):
        operation = self.match.get("operation")
        if operation is None:
            if facts["operation"] == "Connect":
                return False
        elif facts["operation"] not in ([operation] if isinstance(operation, str) else operation):
            return False
        if self.key is not None and not self.key.search(facts.get("key") or ""):
            return False
        for name in ("bucket", "part", "tls"):
            if name in self.match and self.match[name] != facts.get(name):
                return False
        for name, pattern in self.match.get("header", {}).items():
            if not re.search(pattern, facts["request"].header(name, "")):
                return False
        return all(facts["request"].query.get(n) == v for n, v in self.match.get("query", {}).items())

    def due(self, facts):
        if not self._concerns(facts):
            return False
        self.seen += 1
        return self.seen >= self.nth and not (self.count and self.fired >= self.count)

    def describe(self):
        return {
            "id": self.id,
            "match": self.match,
            "action": self.action,
            "before_auth": self.before_auth,
            "seen": self.seen,
            "fired": self.fired,
        }


class Rules:
    """`more_actions`: what this fake can do besides."""

    def __init__(self, texts=(), more_actions=()):
        self.actions = {**ACTIONS, **dict(more_actions)}
        self.lock = threading.Lock()
        self.rules = []
        self.number = 0
        self.add(texts)

    def add(self, texts):
        made = []
        for text in [texts] if isinstance(texts, dict) else texts:
            self.number += 1
            made.append(Rule(text, self.number, self.actions))
        with self.lock:
            self.rules += made
        return [rule.id for rule in made]

    def clear(self):
        with self.lock:
            self.rules = []

    def take(self, facts):
        """The rule for this request, or None. All rules that it concerns count it, fired or not."""
        with self.lock:
            due = [rule for rule in self.rules if rule.due(facts)]
            if not due:
                return None
            due[0].fired += 1
            return due[0]

    def describe(self):
        with self.lock:
            return [rule.describe() for rule in self.rules]


class Holds:
    """Requests that wait until the script lets them go on (action `hold`)."""

    def __init__(self):
        self.condition = threading.Condition()
        self.waiting = []
        self.releases = 0
        self.released = {}  # name -> which of all releases was its last

    def wait(self, name, since, seconds=600):
        """Until a release that came after `since`, the number of releases when the request got its rule."""
        with self.condition:
            self.waiting.append(name)
            self.condition.notify_all()
            self.condition.wait_for(lambda: self.released.get(name, 0) > since, seconds)
            self.waiting.remove(name)

    def release(self, name):
        with self.condition:
            self.releases += 1
            self.released[name] = self.releases
            self.condition.notify_all()

    def release_all(self):
        with self.condition:
            for name in set(self.waiting):
                self.release(name)
