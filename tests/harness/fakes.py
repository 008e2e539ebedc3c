"""The scripted servers of tests/fakes as a test uses them: start, script, question, stop. See ../fakes/README.md."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from urllib.parse import urlencode

from harness.azure_endpoint import AzureEndpoint
from harness.waiting import wait_for

FAKES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fakes")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Fake:
    """A fake server in a process of its own; it ends with close() or with this process, however that ends."""

    program = None

    def __init__(self, rules=(), certificates=None, **settings):
        argv = [sys.executable, os.path.join(FAKES, self.program)]
        for name, value in settings.items():
            argv += ["--set", f"{name}={json.dumps(value)}"]
        for rule in rules:
            argv += ["--rule", json.dumps(rule)]
        if certificates:
            argv += ["--certificates", certificates]
        self.popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.popen.stdout.readline()
        assert line, f"{self.program} did not start; exit status {self.popen.wait(60)}"
        self.ports = json.loads(line)
        self.ca_file = self.ports.get("ca_file")
        self.http = f"http://127.0.0.1:{self.ports['http']}"
        self.https = f"https://127.0.0.1:{self.ports['https']}"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.popen.stdin.close()
        self.popen.wait(60)
        self.popen.stdout.close()

    def control(self, method, path, body=None, raw=False):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['control']}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Connection": "close"},
            method=method,
        )
        try:
            with DIRECT.open(request, timeout=120) as answer:
                data = answer.read()
        except urllib.error.HTTPError as e:
            raise AssertionError(f"{method} {path}: {e.code} {e.read().decode(errors='replace')}") from None
        return data if raw else json.loads(data)

    def rule(self, action, match=None, **more):
        """Adds a rule; gives its id. `action` is a dict, or the type's name alone."""
        action = {"type": action} if isinstance(action, str) else action
        return self.control("POST", "/rules", {"match": match or {}, "action": action, **more})[0]

    def clear_rules(self):
        self.control("DELETE", "/rules")

    def state(self):
        return self.control("GET", "/state")

    def log(self, operation=None):
        """Requests so far, those under way included."""
        return [e for e in self.control("GET", "/log") if operation in (None, e["operation"])]

    def last(self, operation=None):
        """The newest such request; {} before there is one."""
        return (self.log(operation) or [{}])[-1]

    def activity(self):
        """The cheap part of state(): requests held and under way, peaks, connections."""
        return self.control("GET", "/activity")

    def wait_holding(self, name="hold", count=1, bound=60):
        wait_for(
            lambda: self.activity()["holding"].count(name) >= count,
            bound,
            lambda: f"{count} at '{name}': {self.log()[-5:]}",
        )

    def wait_idle(self, bound=60):
        wait_for(lambda: not any(self.activity()["in_flight"].values()), bound, lambda: str(self.activity()))

    def release(self, name="hold"):
        self.control("POST", "/release", {"name": name})

    def reset(self):
        self.control("POST", "/reset")


class FakeStore(Fake):
    """A fake that holds objects."""

    def objects(self, bucket="bucket"):
        """key -> description, of the bucket that most tests use"""
        return {o["key"]: o for o in self.state()["objects"] if o["bucket"] == bucket}

    def uploads(self):
        return self.state()["uploads"]

    def content(self, key, bucket="bucket"):
        return self.control("GET", "/object?" + urlencode({"bucket": bucket, "key": key}), raw=True)

    def change(self, **settings):
        self.control("POST", "/settings", settings)

    def credentials(self, **changes):
        """add, remove, expire, unexpire: lists"""
        self.control("POST", "/credentials", changes)


class FakeS3(FakeStore):
    program = "s3_server.py"
    access_key, secret_key = "AKIAFAKE", "fake-secret"


class FakeGcs(FakeStore):
    program = "gcs_server.py"
    token = "fake-token"

    def end_session(self, upload_id):
        """As after a week."""
        self.control("POST", "/sessions/end", {"upload_id": upload_id})


class FakeAzure(FakeStore):
    program = "azure_server.py"
    account, key = "fakeaccount", "ZmFrZSBhY2NvdW50IGtleSB0aGF0IG9wZW5zIG5vdGhpbmcgZWxzZQ=="

    def endpoint(self, tls=False):
        """Path style, as Azurite."""
        return AzureEndpoint(f"{self.https if tls else self.http}/{self.account}", self.account, self.key, self.ca_file)

    def objects(self, bucket="container"):
        return super().objects(bucket)

    def content(self, key, bucket="container"):
        return super().content(key, bucket)

    def uncommitted(self):
        """name -> ids of the blocks that wait for their list"""
        return {u["key"]: [block["id"] for block in u["blocks"]] for u in self.uploads()}


class FakeCredentials(Fake):
    program = "credential_server.py"

    def change(self, **settings):
        self.control("POST", "/settings", settings)

    def service_account(self, https=False, **values):
        """The key file of a new service account (or a further key of `email`) whose tokens come from here."""
        token_uri = (self.https if https else self.http) + "/token"
        return self.control("POST", "/google/service-account", {"token_uri": token_uri, **values})

    def google_issued(self):
        return self.state()["google_issued"]
