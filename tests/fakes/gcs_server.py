#!/usr/bin/env python3
"""A scripted Google Cloud Storage (JSON API) that checks what it is sent: README.md tells how to script and question it.

Here are settings and tokens; one request's way is in gcs_exchange.py, what the service itself does in gcs_operations.py.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if os.path.dirname(os.path.abspath(__file__)) in sys.path:
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))

from fakes.gcs_exchange import Exchange  # noqa: E402
from fakes.gcs_objects import Bucket, GcsStore  # noqa: E402
from fakes.gcs_operations import Operations  # noqa: E402
from fakes.issued import GOOGLE, find_bearer  # noqa: E402
from fakes.service import arguments, configuration, run, scratch_directory  # noqa: E402
from fakes.store_service import Settings, StoreService  # noqa: E402

FULL_CONTROL = "https://www.googleapis.com/auth/devstorage.full_control"


class GcsSettings(Settings):
    defaults = {
        "tokens": [{"token": "fake-token", "scopes": [FULL_CONTROL], "account": "listed"}],
        "accept_issued": True,
        "anonymous": False,
        "buckets": [
            {"name": "bucket"},
            {"name": "other"},
            {"name": "retained", "retention_seconds": 3600},
            {"name": "locked", "object_retention": True},
            {"name": "held", "event_based_hold": True},
            {"name": "versioned", "versioning": True},
        ],
        "session_seconds": 7 * 24 * 3600,
        "session_token": "checked",
        "gone_status": 410,
        "unaligned": "refused",
        "conditions_at_start": True,
        "hashes": "checked",
        "page": 1000,
        "customer_keys_over_http": False,
    }
    words = {
        "session_token": ("checked", "ignored"),
        "gone_status": (404, 410, 499),
        "unaligned": ("refused", "kept"),
        "hashes": ("checked", "ignored"),
    }
    hidden = ("tokens",)


class FakeGcs(StoreService):
    exchange = Exchange
    more_actions = {"keep": {"bytes": 0, "status": None, "code": None, "early": False}, "corrupt": {"at": 0}}

    def configure(self, settings):
        self.settings = GcsSettings(settings)
        self.store = GcsStore(self.directory, self.settings.capacity)
        self.operations = Operations(self.store, self.settings)
        self.tokens = Tokens(self)
        self._make_buckets(self.settings.buckets)

        self.control_routes[("POST", "/sessions/end")] = lambda query, body: self.end_session(body["upload_id"])

    def end_session(self, upload_id):
        """As after a week."""
        with self.store.lock:
            self.store.end_upload(self.store.uploads[upload_id])

    def _make_buckets(self, texts):
        for text in texts:
            self.store.buckets.setdefault(text["name"], Bucket(**text))

    def change(self, values):
        super().change(values)
        self._make_buckets(values.get("buckets", ()))
        if "tokens" in values:
            self.tokens = Tokens(self)

    def change_credentials(self, body):
        for text in body.get("add", ()):
            self.tokens.listed[text["token"]] = text
        for token in body.get("remove", ()):
            self.tokens.listed.pop(token, None)
        self.tokens.expired |= set(body.get("expire", ()))
        self.tokens.expired -= set(body.get("unexpire", ()))

    def bad_request(self, message):
        return json.dumps({"error": {"code": 400, "message": message, "errors": []}}), "application/json"


class Tokens:
    """Which bearer tokens are good. `expired`: tokens, or the numbers of issued ones."""

    def __init__(self, server):
        self.server = server
        self.listed = {text["token"]: text for text in server.settings.tokens}
        self.expired = set()

    def find(self, token):
        """What is known of it, or None."""
        found = self.listed.get(token)
        if found is None and self.server.settings.accept_issued:
            found = find_bearer(GOOGLE, token)
        return found

    def expire(self, token):
        self.expired.add(token)

    def ended(self, token, facts):
        until = facts.get("until")
        return (
            token in self.expired
            or facts.get("number") in self.expired
            or (until is not None and until <= self.server.now())
        )


def main():
    options = arguments(__doc__.splitlines()[0]).parse_args()
    settings, rules = configuration(options)
    directory = scratch_directory("gcs")
    run(FakeGcs(settings, rules, directory), options, directory)


if __name__ == "__main__":
    main()
