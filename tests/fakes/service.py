"""What all fakes are made of: ports, a log of requests, a control port, and an end that comes with the end of stdin.

A fake derives from Service, sets `control_routes` and serves its connections. Ready, it prints one line of JSON on
stdout: {"http": port, "https": port, "control": port, "ca_file": path, "pid": pid}.
"""

import argparse
import collections
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time

from fakes.certificates import make_certificates
from fakes.rules import Holds, Rules
from fakes.wire import BadRequest, Listener, Response, tls_context

LOG_MAX = 100_000
CONTROL_BODY_MAX = 16 << 20


class Service:
    more_actions = {}  # of rules, beyond those that all fakes know

    def __init__(self, rules=()):
        self.rules = Rules(rules, self.more_actions)
        self.holds = Holds()
        self.lock = threading.Lock()
        self.log = collections.deque(maxlen=LOG_MAX)
        self.sequence = 0
        self.in_flight = collections.Counter()
        self.peak = collections.Counter()
        self.connections = 0
        self.listeners = []  # but for the control port's
        self.control_routes = {
            ("GET", "/state"): lambda query, body: self.state(),
            ("GET", "/activity"): lambda query, body: self.activity(),
            ("GET", "/log"): lambda query, body: self.log_since(int(query.get("since", 0))),
            ("DELETE", "/log"): lambda query, body: self.clear_log(),
            ("GET", "/rules"): lambda query, body: self.rules.describe(),
            ("POST", "/rules"): lambda query, body: self.rules.add(body),
            ("DELETE", "/rules"): lambda query, body: self.rules.clear(),
            ("POST", "/release"): lambda query, body: self.holds.release(body.get("name", "hold")),
            ("POST", "/reset"): lambda query, body: self.reset(),
        }

    # -- the log

    def begin(self, connection, operation, **fields):
        """A log entry: it's there while the request runs, and changes until end()."""
        with self.lock:
            self.sequence += 1
            entry = {
                "seq": self.sequence,
                "operation": operation,
                "connection": connection.number,
                "tls": connection.tls,
                "time": time.time(),
                "status": None,
                "code": None,
                "rule": None,
                "ended": None,
                **fields,
            }
            self.log.append(entry)
            self.in_flight[operation] += 1
            self.peak[operation] = max(self.peak[operation], self.in_flight[operation])
        return entry

    def end(self, entry, how):
        with self.lock:
            entry["ended"] = how
            self.in_flight[entry["operation"]] -= 1

    def log_since(self, since):
        with self.lock:
            return [dict(entry) for entry in self.log if entry["seq"] > since]

    def clear_log(self):
        with self.lock:
            self.log.clear()
            self.peak.clear()

    def state(self):
        return {**self.activity(), "rules": self.rules.describe(), "log": self.log_since(0)}

    def activity(self):
        with self.holds.condition:
            holding = list(self.holds.waiting)
        with self.lock:
            return {
                "holding": holding,
                "connections": self.connections,
                "peak": dict(self.peak),
                "in_flight": {k: v for k, v in self.in_flight.items() if v},
            }

    def reset(self):
        """Back to how it was started. Connections are ended: a request of theirs would count as one of what comes."""
        self.rules.clear()
        for listener in self.listeners:
            listener.end_earlier(meanwhile=self.holds.release_all)
        self.clear_log()

    # -- rules

    def take_rule(self, facts):
        """The rule for a request, or None, and how many releases there were then: each later one lets the request go on, also
        when it comes to where it is held only afterwards."""
        with self.holds.condition:
            return self.rules.take(facts), self.holds.releases

    # -- connections

    def before_tls(self, connection):
        """Rules for the operation Connect act before the first byte."""
        with self.lock:
            self.connections += 1
        rule, releases = self.take_rule({"operation": "Connect", "tls": connection.tls, "request": None})
        if rule is None:
            return
        entry = self.begin(connection, "Connect", rule=rule.id)
        self.end(entry, rule.kind)
        if rule.kind == "stall":
            connection.wait_gone()
        elif rule.kind == "hold":
            self.holds.wait(rule["name"], releases)
        elif rule.kind == "delay":
            time.sleep(rule["ms"] / 1000)
        elif rule.kind in ("close_request", "close_response", "drop_answer"):
            connection.reset() if rule["reset"] else connection.cut()

    def serve_control(self, connection):
        while (request := connection.read_head(3600)) is not None:
            close = request.header("connection", "").lower() == "close"
            connection.send_response(self._control(connection, request), close=close)
            if close:
                return

    def _control(self, connection, request):
        size = request.content_length or 0
        if size > CONTROL_BODY_MAX:
            raise BadRequest("control body too long")
        body = b"".join(connection.read_body(size, 60))
        route = self.control_routes.get((request.method, request.path))
        if route is None:
            known = ", ".join(" ".join(r) for r in sorted(self.control_routes))
            return Response(404, json.dumps({"error": f"no {request.method} {request.path}; there are: {known}"}))
        try:
            answer = route(request.query, json.loads(body) if body else {})
        except (ValueError, KeyError, TypeError, AttributeError, TimeoutError) as e:  # the script's mistake
            return Response(400, json.dumps({"error": f"{type(e).__name__}: {e}"}))
        if isinstance(answer, Response):
            return answer
        return Response(200, json.dumps(answer, default=str), content_type="application/json")


def _raise_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 1 << 16, hard))


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", help='JSON file: {"settings": {...}, "rules": [...]}')
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON", help="one setting")
    parser.add_argument("--rule", action="append", default=[], metavar="JSON", help="one rule")
    parser.add_argument("--certificates", metavar="DIR", help="ca.pem, server.pem, server.key; made when absent")
    parser.add_argument("--no-tls", action="store_true", help="spare the time to make certificates (0.1 s)")
    return parser


def configuration(options):
    """(settings, rules) from the command line."""
    settings, rules = {}, []
    if options.config:
        with open(options.config) as f:
            loaded = json.load(f)
        settings, rules = dict(loaded.get("settings", {})), list(loaded.get("rules", []))
    for item in options.set:
        name, _, value = item.partition("=")
        settings[name] = json.loads(value)
    return settings, rules + [json.loads(rule) for rule in options.rule]


def run(service, options, directory):
    """Serves until stdin ends or SIGTERM comes. `directory` is thrown away then."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    _raise_limit()
    try:
        service.listeners.append(Listener(service.serve, before_tls=service.before_tls))
        ports = {"http": service.listeners[0].port}
        if not options.no_tls:
            made = make_certificates(options.certificates or directory)
            context = tls_context(made.certificate, made.key)
            service.listeners.append(Listener(service.serve, context, before_tls=service.before_tls))
            ports["https"] = service.listeners[1].port
            ports["ca_file"] = made.ca
        ports["control"] = Listener(service.serve_control).port
        print(json.dumps({**ports, "pid": os.getpid()}), flush=True)
        while sys.stdin.buffer.read(4096):
            pass
    except KeyboardInterrupt:
        pass
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os._exit(0)  # connections' threads may be waiting; nothing of theirs is worth keeping


def scratch_directory(name):
    return tempfile.mkdtemp(prefix=f"bm-{name}-")
