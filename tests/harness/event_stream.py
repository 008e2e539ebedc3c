"""A client of Server-Sent Events: what a browser's EventSource does, without its reconnecting."""

import http.client
import json
import time


class Event:
    def __init__(self, fields):
        self.id, self.type = fields.get("id"), fields.get("event", "message")
        self.data = json.loads(fields["data"]) if "data" in fields else None

    def __repr__(self):
        return f"{self.id} {self.type} {self.data}"


class EventStream:
    """`headers` are those of the identity; last_id is what a browser sends as Last-Event-ID."""

    def __init__(self, server, headers, query="", last_id=None, bound=60):
        self.connection = http.client.HTTPConnection(*server.socket_address, timeout=bound)
        sent = {"Accept": "text/event-stream", **headers, **({"Last-Event-ID": last_id} if last_id else {})}
        self.connection.request("GET", "/api/events" + query, headers=sent)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, (self.answer.status, self.answer.read())
        assert self.answer.headers["Content-Type"] == "text/event-stream"
        self.comments, self.retry, self.last_id, self.seen = 0, None, last_id, []

    def next(self, bound=60):
        """The next event; None when the stream has ended."""
        fields, end = {}, time.monotonic() + bound
        while line := self.answer.readline():
            assert time.monotonic() < end, f"no event within {bound} s; before: {self.seen[-5:]}"
            line = line.decode().rstrip("\n")
            if not line:
                if "data" in fields:
                    event = Event(fields)
                    self.last_id = event.id or self.last_id
                    self.seen.append(event)
                    return event
                fields = {}
                continue
            name, _, value = line.partition(":")
            if not name:
                self.comments += 1
            elif name == "retry":
                self.retry = int(value)
            else:
                fields[name] = value.removeprefix(" ")
        return None

    def wait(self, type, condition=lambda data: True, bound=60):
        """Reads until there is such an event; others are passed over."""
        end = time.monotonic() + bound
        while event := self.next():
            if event.type == type and condition(event.data):
                return event
            assert time.monotonic() < end, self.seen
        raise AssertionError(f"the stream ended before {type}: {self.seen}")

    def wait_end(self):
        while self.next():
            pass

    def close(self):
        self.answer.close()
        self.connection.close()
