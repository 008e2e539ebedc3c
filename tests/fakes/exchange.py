"""One request's way through a fake store: rule, authority, body, operation, answer.

Each step is where a rule's action may step in. A store derives from Exchange and says what is its own: identify(),
authorize(), operate(), error(), common_headers(). run() is the whole way.
"""

import time

from fakes.answers import Answers
from fakes.objects import Full
from fakes.wire import Gone, Response


class StoreError(Exception):
    """Becomes the body of an answer in the store's manner; `extra` are further fields of it."""

    def __init__(self, status, code, message, headers=(), **extra):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers)
        self.extra = extra


class Exchange(Answers):
    """One request and its answer. `entry` is its line in the log."""

    full = (507, "Full", "The store is full.")
    silent = (408, "RequestTimeout", "The body didn't come within the time that is allowed.")
    document_type = "application/octet-stream"

    def __init__(self, server, connection, request):
        self.server = server
        self.connection = connection
        self.request = request
        self.operation = self.bucket = self.key = self.part = None
        self.close = request.header("connection", "").lower() == "close"
        self.body_read = False
        facts = self.identify()
        self.entry = server.begin(
            connection,
            self.operation or "Unknown",
            method=request.method,
            bucket=self.bucket,
            key=self.key,
            host=request.header("host"),
            content_length=request.content_length,
            request_bytes=0,
            answer_bytes=0,
            **facts,
        )
        self.rule, self.releases = server.take_rule(
            {
                "operation": self.operation or "Unknown",
                "bucket": self.bucket,
                "key": self.key,
                "part": self.part,
                "tls": request.tls,
                "request": request,
            }
        )
        self.entry["rule"] = self.rule and self.rule.id

    # -- what a store adds

    def identify(self):
        """Finds operation, bucket, key and part; gives the further fields of the log's line: nothing secret."""
        raise NotImplementedError

    def authorize(self):
        """Raises StoreError when this client may not do that, or there is nothing to do it to."""
        raise NotImplementedError

    def operate(self):
        """Receives the body and does what is asked."""
        raise NotImplementedError

    def error(self, e):
        """A StoreError as a Response."""
        raise NotImplementedError

    def common_headers(self):
        return {}

    # -- the way

    def run(self):
        """False when the connection is at its end."""
        sent_before = self.connection.sent
        how = "failed"
        try:
            response = self._guarded()
            self._finish_body()
            self.pause("answer")
            self._deliver(response)
            how = "answered"
            return not self.close
        except Gone as e:
            how = str(e)
            raise
        except TimeoutError:
            how = "silent"
            raise Gone(how) from None
        finally:
            self.entry["answer_bytes"] = self.connection.sent - sent_before
            self.server.end(self.entry, how)

    def _guarded(self):
        try:
            return self._work()
        except StoreError as e:
            return self.error(e)
        except Full:
            return self.error(StoreError(*self.full))

    def does(self, *kinds):
        return self.rule is not None and self.rule.kind in kinds

    def _work(self):
        before_auth = self.rule is not None and self.rule.before_auth
        if before_auth and (response := self._at_head()) is not None:
            return response
        self.authorize()
        if not before_auth and (response := self._at_head()) is not None:
            return response
        return self.operate()

    def pause(self, place):
        """The actions that are nothing but time."""
        if not self.does("delay", "hold", "stall") or self.rule["at"] != place:
            return
        if self.rule.kind == "delay":
            time.sleep(self.rule["ms"] / 1000)
        elif self.rule.kind == "hold":
            self.server.holds.wait(self.rule["name"], self.releases)
        else:
            self.connection.wait_gone()

    def _at_head(self):
        self.pause("head")
        if self.does("respond") and (self.rule["early"] or self.rule.before_auth):
            self.body_read = self.body_read or self.rule["early"]
            self.close = self.close or self.rule["early"]
            return self.scripted()
        return None

    # -- the body

    def receive(self, blob, size):
        """`size` bytes of the request's body (None: chunks until their end) into blob.write(), with the faults that
        rules have for it."""
        if self.request.expects_continue:
            self.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.body_read = True
        timeout = self.server.settings.body_timeout_seconds
        try:
            if size is None:
                self._receive_chunks(blob, timeout)
            else:
                first = size if self._stops_at() is None else min(size, self._stops_at())
                self._copy(blob, self.connection.read_body(first, timeout))
                self._stop()
                self._copy(blob, self.connection.read_body(size - first, timeout))
        except TimeoutError:
            self.close = True
            raise StoreError(*self.silent) from None

    def _receive_chunks(self, blob, timeout):
        left = self._stops_at()
        for piece in self.connection.read_chunked(timeout):
            if left is not None and left <= len(piece):
                self._copy(blob, [piece[:left]])
                self._stop()
                piece, left = piece[left:], None
            self._copy(blob, [piece])
            left = None if left is None else left - len(piece)
        if left is not None:
            self._stop()

    def _stops_at(self):
        """After how many bytes of the body a rule acts; None when none does."""
        if self.does("close_request") or (self.does("hold", "stall") and self.rule["at"] == "body"):
            return self.rule["bytes"] or 0
        return None

    def _stop(self):
        if self.does("close_request"):
            self.connection.reset() if self.rule["reset"] else self.connection.cut()
        self.pause("body")

    def _copy(self, blob, pieces):
        for piece in pieces:
            self.entry["request_bytes"] += len(piece)
            try:
                blob.write(piece)
            except Full:
                self.close = True
                raise

    def _finish_body(self):
        """A request that was refused by its head: its body still has to go somewhere."""
        if self.body_read:
            return
        if self.request.expects_continue:
            self.close = True
            return
        timeout = self.server.settings.body_timeout_seconds
        chunked = "transfer-encoding" in self.request.by_name
        size = self.request.content_length or 0
        for piece in self.connection.read_chunked(timeout) if chunked else self.connection.read_body(size, timeout):
            self.entry["request_bytes"] += len(piece)

    # -- answers

    def scripted(self):
        """The answer of a rule: nothing was done."""
        rule = self.rule
        if rule.kind == "garbage":
            return Response(rule["status"], rule["body"], content_type=self.document_type)
        if rule.kind == "endless":
            return Response(rule["status"])
        if rule["body"] is None and rule["code"]:
            return self.error(self.scripted_error())
        return Response(rule["status"], rule["body"] or b"", self.scripted_headers(), self.document_type)

    def scripted_headers(self):
        return dict(self.rule["headers"])

    def scripted_error(self):
        return StoreError(self.rule["status"], self.rule["code"], self.rule["message"], self.scripted_headers())

    def _deliver(self, response):
        response.headers = {**self.common_headers(), **response.headers}
        self.entry["status"], self.entry["code"] = response.status, response.code
        action = getattr(self, f"deliver_{self.rule.kind}", None) if self.rule else None
        head_only = self.request.method == "HEAD"
        if action is not None:
            action(response, head_only)
        else:
            self.connection.send_response(response, head_only, self.close)


def shown_headers(request, secret, hide=lambda name, value: value):
    """As received, without what a log must not keep: those named, and what `hide` takes out of others."""
    shown = {name: hide(name, request.header(name)) for name in request.by_name}
    return {name: "..." if name in secret else value for name, value in shown.items()}
