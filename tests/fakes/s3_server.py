#!/usr/bin/env python3
"""A scripted S3 that checks what it is sent: README.md tells how to start, script and question it.

Here are settings, control port and connections; one request's way is in s3_exchange.py, what S3 itself does in
s3_operations.py.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if os.path.dirname(os.path.abspath(__file__)) in sys.path:
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))

from fakes import issued, s3_xml  # noqa: E402
from fakes.s3_exchange import Exchange  # noqa: E402
from fakes.s3_lists import Lists  # noqa: E402
from fakes.s3_objects import Bucket, S3Store  # noqa: E402
from fakes.service import arguments, configuration, run, scratch_directory  # noqa: E402
from fakes.sigv4 import Key  # noqa: E402
from fakes.store_service import Settings, StoreService  # noqa: E402


class S3Settings(Settings):
    defaults = {
        "keys": [{"access_key": "AKIAFAKE", "secret_key": "fake-secret"}],
        "accept_issued": False,
        "buckets": [
            {"name": "bucket"},
            {"name": "other"},
            {"name": "locked", "object_lock": True},
            {"name": "retained", "default_retention": True},
            {"name": "elsewhere", "region": "eu-central-1"},
        ],
        "region": "us-east-1",
        "wrong_region": 400,
        "wrong_region_tells": ["header", "body"],
        "host_suffixes": ["s3.localhost", "s3.test"],
        "min_part_size": 5 << 20,
        "max_part_size": 5 << 30,
        "max_put_size": 5 << 30,
        "max_parts": 10000,
        "equal_parts": False,
        "page": 1000,
        "conditional_put": "honoured",
        "checksums": "checked",
        "sse_c_over_http": False,
    }
    words = {
        "conditional_put": ("honoured", "refused", "ignored"),
        "checksums": ("checked", "refused", "ignored"),
        "wrong_region": (301, 307, 400),
    }
    hidden = ("keys",)


class FakeS3(StoreService):
    exchange = Exchange

    def configure(self, settings):
        self.settings = S3Settings(settings)
        self.store = S3Store(self.directory, self.settings.capacity)
        self.operations = Lists(self.store, self.settings)
        self.keys = Keys(self.settings)
        self.expired = set()
        self._make_buckets(self.settings.buckets)

    def _make_buckets(self, texts):
        for text in texts:
            self.store.buckets.setdefault(text["name"], Bucket(**{"region": self.settings.region, **text}))

    def bucket_of(self, request):
        """(name, key): virtual-hosted when the host ends in one of our names, else by path."""
        host = request.header("host", "").rpartition(":")[0] or request.header("host", "")
        for suffix in self.settings.host_suffixes:
            if host.endswith("." + suffix):
                return host[: -len(suffix) - 1], request.path[1:]
        name, _, key = request.path[1:].partition("/")
        return name or None, key

    def change(self, values):
        super().change(values)
        self._make_buckets(values.get("buckets", ()))
        if "keys" in values:
            self.keys = Keys(self.settings)

    def change_credentials(self, body):
        for text in body.get("add", ()):
            self.keys.add(text)
        for access_key in body.get("remove", ()):
            self.keys.pop(access_key, None)
        self.expired |= set(body.get("expire", ()))
        self.expired -= set(body.get("unexpire", ()))

    def bad_request(self, message):
        return s3_xml.error("BadRequest", message), "application/xml"


class Keys(dict):
    """Access key -> Key."""

    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        for text in settings.keys:
            self.add(text)

    def add(self, text):
        self[text["access_key"]] = Key(text["access_key"], text["secret_key"], text.get("session_token"))

    def get(self, access_key, default=None):
        found = super().get(access_key)
        if found is None and self.settings.accept_issued:
            found = issued.find(access_key)
        return found or default


def main():
    options = arguments(__doc__.splitlines()[0]).parse_args()
    settings, rules = configuration(options)
    directory = scratch_directory("s3")
    run(FakeS3(settings, rules, directory), options, directory)


if __name__ == "__main__":
    main()
