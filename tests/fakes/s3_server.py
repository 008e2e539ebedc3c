#!/usr/bin/env python3
"""A scripted S3 that checks what it is sent: README.md tells how to start, script and question it.

Here are settings, control port and connections; one request's way is in s3_exchange.py, what S3 itself does in
s3_operations.py.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if os.path.dirname(os.path.abspath(__file__)) in sys.path:
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))

from fakes import issued, s3_xml  # noqa: E402
from fakes.objects import Bucket, Store  # noqa: E402
from fakes.s3_exchange import Exchange  # noqa: E402
from fakes.s3_lists import Lists  # noqa: E402
from fakes.service import Service, arguments, configuration, run, scratch_directory  # noqa: E402
from fakes.sigv4 import Key  # noqa: E402
from fakes.wire import BadRequest, Response  # noqa: E402


class Settings:
    """README.md explains them."""

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
        "clock_offset": 0,
        "capacity": 8 << 30,
        "idle_seconds": 60,
        "body_timeout_seconds": 60,
    }
    words = {
        "conditional_put": ("honoured", "refused", "ignored"),
        "checksums": ("checked", "refused", "ignored"),
        "wrong_region": (301, 307, 400),
    }

    def __init__(self, values):
        self.__dict__.update(self.defaults)
        self.change(values)

    def change(self, values):
        for name, value in values.items():
            if name not in self.defaults:
                raise ValueError(f"no setting '{name}'; there are: {', '.join(sorted(self.defaults))}")
            if name in self.words and value not in self.words[name]:
                raise ValueError(f"setting {name} is one of {self.words[name]}")
        self.__dict__.update(values)

    def describe(self):
        return {name: getattr(self, name) for name in self.defaults if name != "keys"}


class FakeS3(Service):
    def __init__(self, settings, rules, directory):
        super().__init__(rules)
        self.initial = dict(settings)
        self.directory = directory
        self._configure(settings)
        self.control_routes |= {
            ("GET", "/object"): lambda query, body: self.content(query["bucket"], query["key"]),
            ("GET", "/settings"): lambda query, body: self.settings.describe(),
            ("POST", "/settings"): lambda query, body: self.change(body),
            ("POST", "/credentials"): lambda query, body: self.change_credentials(body),
        }

    def _configure(self, settings):
        self.settings = Settings(settings)
        self.store = Store(self.directory, self.settings.capacity)
        self.operations = Lists(self.store, self.settings)
        self.keys = Keys(self.settings)
        self.expired = set()
        self._make_buckets(self.settings.buckets)

    def _make_buckets(self, texts):
        for text in texts:
            self.store.buckets.setdefault(text["name"], Bucket(**{"region": self.settings.region, **text}))

    def now(self):
        return time.time() + self.settings.clock_offset

    def bucket_of(self, request):
        """(name, key): virtual-hosted when the host ends in one of our names, else by path."""
        host = request.header("host", "").rpartition(":")[0] or request.header("host", "")
        for suffix in self.settings.host_suffixes:
            if host.endswith("." + suffix):
                return host[: -len(suffix) - 1], request.path[1:]
        name, _, key = request.path[1:].partition("/")
        return name or None, key

    # -- the control port

    def state(self):
        with self.store.lock:
            objects = [made for b in self.store.buckets.values() for made in b.objects.values()]
            older = [made.describe() for b in self.store.buckets.values() for made in b.older]
            uploads = [upload.describe() for upload in self.store.uploads.values()]
        return {
            **super().state(),
            "objects": [made.describe() for made in objects],
            "older_versions": older,
            "uploads": uploads,
            "bytes_held": self.store.used,
        }

    def content(self, bucket, key):
        with self.store.lock:
            made = self.store.buckets[bucket].objects.get(key)
        if made is None:
            return Response(404, b"")
        return Response(200, (made.size, made.pieces(0, made.size)), content_type="application/octet-stream")

    def change(self, values):
        self.settings.change(values)
        self.store.capacity = self.settings.capacity
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

    def reset(self):
        super().reset()
        with self.store.lock:
            self.store.clear()
        self._configure(self.initial)

    # -- serving

    def serve(self, connection):
        while True:
            try:
                request = connection.read_head(self.settings.idle_seconds)
                if request is None or not Exchange(self, connection, request).run():
                    return
            except BadRequest as e:
                entry = self.begin(connection, "BadRequest", message=str(e))
                connection.send_response(Response(400, s3_xml.error("BadRequest", str(e))), close=True)
                self.end(entry, "answered")
                return


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
