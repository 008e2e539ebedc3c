#!/usr/bin/env python3
"""The services that hand out credentials, scripted: the clouds' metadata, token services, Secrets Manager, Vault.

One HTTP and one TLS port serve them all, told apart by path and headers; README.md has the settings. What they say
is in aws_credentials.py, azure_credentials.py, google_credentials.py and vault.py; here are dispatch, faults and the control port.
"""

import copy
import os
import sys
import time
from email.utils import formatdate

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if os.path.dirname(os.path.abspath(__file__)) in sys.path:
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))

from fakes import azure_credentials, google_credentials  # noqa: E402
from fakes.answers import Answers  # noqa: E402
from fakes.aws_credentials import AwsServices  # noqa: E402
from fakes.service import Service, arguments, configuration, run, scratch_directory  # noqa: E402
from fakes.vault import Vault  # noqa: E402
from fakes.wire import BadRequest, Gone, Response  # noqa: E402

BODY_MAX = 1 << 20
SECRET_HEADERS = ("authorization", "x-vault-token", "x-aws-ec2-metadata-token", "x-amz-security-token", "x-identity-header")

DEFAULTS = {
    "region": "us-east-1",
    "keys": [{"access_key": "AKIAFAKE", "secret_key": "fake-secret"}],
    "lifetime_seconds": 3600,  # of keys that are handed out; may be negative: expired already
    "clock_offset": 0,
    "imds": {"role": "backup-role", "mode": "v2", "put_status": 403, "failure": None},
    "container": {"path": "/v2/credentials/task", "authorization": None},
    "sts": {"web_tokens": ["web-token"], "expired_web_tokens": [], "roles": None},
    "google": google_credentials.DEFAULTS,
    "azure": azure_credentials.DEFAULTS,
    "secrets": {"backup/s3": {"string": '{"access_key": "AKIAFAKE", "secret_key": "fake-secret"}'}},
    "vault": {
        "mount": "secret",
        "namespace": None,
        "sealed": False,
        "tokens": {"root": {"ttl": 0}},
        "token_ttl": 3600,
        "token_max_ttl": 86400,
        "renewable": True,
        "approle": {"role-id": "secret-id"},
        "kubernetes": {"backup": "jwt"},
        "secrets": {"backup/s3": {"access_key": "AKIAFAKE", "secret_key": "fake-secret"}},
        "deleted": [],
    },
}


def merged(settings, values):
    """`values` over `settings`, one level into those that are groups; unknown names are refused."""
    made = copy.deepcopy(settings)
    for name, value in values.items():
        if name not in DEFAULTS:
            raise ValueError(f"no setting '{name}'; there are: {', '.join(sorted(DEFAULTS))}")
        if isinstance(DEFAULTS[name], dict) and name != "secrets":
            unknown = set(value) - set(DEFAULTS[name])
            if unknown:
                raise ValueError(f"setting {name} has no {', '.join(sorted(unknown))}")
            made[name] = {**made[name], **value}
        else:
            made[name] = value
    return made


class FakeCredentials(Service):
    def __init__(self, settings, rules):
        super().__init__(rules)
        self.initial = dict(settings)
        self._configure(settings)
        self.control_routes |= {
            ("GET", "/settings"): lambda query, body: self.settings,
            ("POST", "/settings"): lambda query, body: self.change(body),
            ("POST", "/vault/revoke"): lambda query, body: self.vault.revoke(body.get("token")),
            ("POST", "/google/service-account"): lambda query, body: self.google.make_service_account(body),
            ("DELETE", "/google/service-account"): lambda query, body: self.google.remove_service_account(body),
        }

    def _configure(self, settings):
        self.settings = merged(DEFAULTS, settings)
        self.aws = AwsServices(self)
        self.vault = Vault(self)
        self.google = google_credentials.GoogleServices(self)
        self.azure = azure_credentials.AzureServices(self)

    def now(self):
        return time.time() + self.settings["clock_offset"]

    def change(self, values):
        self.settings = merged(self.settings, values)

    def reset(self):
        super().reset()
        self._configure(self.initial)

    def state(self):
        return {
            **super().state(),
            "issued": self.aws.issued_log,
            "google_issued": self.google.describe(),
            "azure_issued": self.azure.describe(),
            "vault_tokens": self.vault.describe(),
        }

    def serve(self, connection):
        while True:
            try:
                request = connection.read_head(60)
                if request is None or not Exchange(self, connection, request).run():
                    return
            except BadRequest as e:
                connection.send_response(Response(400, str(e)), close=True)
                return


class Exchange(Answers):
    """One request. `owner` is the service that it's for: operation_of(), answer(), error()."""

    def __init__(self, server, connection, request):
        self.server = server
        self.connection = connection
        self.request = request
        self.close = request.header("connection", "").lower() == "close"
        size = request.content_length or 0
        if size > BODY_MAX:
            raise BadRequest("body too long")
        if request.expects_continue:
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            self.body = b"".join(connection.read_body(size, 60))
        except TimeoutError:
            raise Gone("silent") from None
        self.owner, self.operation = self._find()
        headers = {n: "..." if n in SECRET_HEADERS else request.header(n) for n in request.by_name}
        self.entry = server.begin(
            connection,
            self.operation,
            method=request.method,
            path=request.path,
            query=request.query,
            headers=headers,
            request_bytes=size,
        )
        self.rule, self.releases = server.take_rule(
            {"operation": self.operation, "key": request.path, "tls": request.tls, "request": request}
        )
        self.entry["rule"] = self.rule and self.rule.id

    def _find(self):
        for owner in (self.server.azure, self.server.google, self.server.vault, self.server.aws):
            name = owner.operation_of(self.request, self.body)
            if name is not None:
                return owner, name
        return None, "Unknown"

    def run(self):
        how = "failed"
        try:
            self._deliver(self._answer())
            how = "answered"
            return not self.close
        except Gone as e:
            how = str(e)
            raise
        finally:
            self.server.end(self.entry, how)

    def _pause(self, place):
        rule = self.rule
        if (
            rule is None
            or rule.kind not in ("delay", "hold", "stall")
            or (rule["at"] == "answer") != (place == "answer")
        ):
            return
        if rule.kind == "delay":
            time.sleep(rule["ms"] / 1000)
        elif rule.kind == "hold":
            self.server.holds.wait(rule["name"], self.releases)
        else:
            self.connection.wait_gone()

    def _answer(self):
        self._pause("head")
        if self.rule is not None:
            if self.rule.kind == "close_request":
                self.connection.reset() if self.rule["reset"] else self.connection.cut()
            if self.rule.kind in ("respond", "garbage", "endless"):
                return self._scripted()
        if self.owner is None:
            return Response(404, "not found\n", content_type="text/plain")
        with self.server.lock:
            response = self.owner.answer(self.operation, self.request, self.body)
        self._pause("answer")
        return response

    def _scripted(self):
        """`respond` with `code`: the error as the service in question writes it."""
        rule = self.rule
        body = rule.action.get("body")
        if rule.kind == "respond" and body is None and rule["code"] and self.owner is not None:
            response = self.owner.error(self.operation, rule["status"], rule["code"], rule["message"])
            response.headers |= rule["headers"]
            return response
        return Response(rule["status"], body or b"", rule.action.get("headers", {}), "application/json")

    def _deliver(self, response):
        response.headers = {"Date": formatdate(self.server.now(), usegmt=True), **response.headers}
        self.entry["status"], self.entry["code"] = response.status, response.code
        action = getattr(self, f"deliver_{self.rule.kind}", None) if self.rule else None
        head_only = self.request.method == "HEAD"
        if action is not None:
            action(response, head_only)
        else:
            self.connection.send_response(response, head_only, self.close)


def main():
    options = arguments(__doc__.splitlines()[0]).parse_args()
    settings, rules = configuration(options)
    run(FakeCredentials(settings, rules), options, scratch_directory("credentials"))


if __name__ == "__main__":
    main()
