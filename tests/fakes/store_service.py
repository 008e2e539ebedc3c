"""A fake object store as a service: its settings, its control port, its connections. What the store does is in its own
modules; a fake derives from StoreService and Settings."""

import time

from fakes.service import Service
from fakes.wire import BadRequest, Response


class Settings:
    """README.md explains them. `words`: the values that a setting may have; `hidden`: not shown on the control port."""

    defaults = {}
    words = {}
    hidden = ()
    common = {
        "clock_offset": 0,
        "capacity": 8 << 30,
        "idle_seconds": 60,
        "body_timeout_seconds": 60,
    }

    def __init__(self, values):
        self.known = {**self.common, **self.defaults}
        self.__dict__.update(self.known)
        self.change(values)

    def change(self, values):
        for name, value in values.items():
            if name not in self.known:
                raise ValueError(f"no setting '{name}'; there are: {', '.join(sorted(self.known))}")
            if name in self.words and value not in self.words[name]:
                raise ValueError(f"setting {name} is one of {self.words[name]}")
        self.__dict__.update(values)

    def describe(self):
        return {name: getattr(self, name) for name in self.known if name not in self.hidden}


class StoreService(Service):
    """configure() makes `settings` and `store` from the settings given; `exchange` is the class of one request."""

    exchange = None

    def __init__(self, settings, rules, directory):
        super().__init__(rules)
        self.initial = dict(settings)
        self.directory = directory
        self.configure(settings)
        self.control_routes |= {
            ("GET", "/object"): lambda query, body: self.content(query["bucket"], query["key"]),
            ("GET", "/settings"): lambda query, body: self.settings.describe(),
            ("POST", "/settings"): lambda query, body: self.change(body),
            ("POST", "/credentials"): lambda query, body: self.change_credentials(body),
        }

    def configure(self, settings):
        raise NotImplementedError

    def change_credentials(self, body):
        raise NotImplementedError

    def bad_request(self, message):
        """The body, and its type, of the answer to what isn't HTTP."""
        return message, "text/plain"

    def now(self):
        return time.time() + self.settings.clock_offset

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

    def reset(self):
        super().reset()
        with self.store.lock:
            self.store.clear()
        self.configure(self.initial)

    # -- serving

    def serve(self, connection):
        while True:
            try:
                request = connection.read_head(self.settings.idle_seconds)
                if request is None or not self.exchange(self, connection, request).run():
                    return
            except BadRequest as e:
                entry = self.begin(connection, "BadRequest", message=str(e))
                body, kind = self.bad_request(str(e))
                connection.send_response(Response(400, body, content_type=kind), close=True)
                self.end(entry, "answered")
                return
