"""One request to the fake Google Cloud Storage: token, bucket, body, operation; exchange.py has the way it goes."""

import json
import re
from email.utils import formatdate

from fakes import exchange
from fakes.exchange import shown_headers
from fakes.gcs_checks import KEY, GcsError, invalid
from fakes.gcs_objects import UNIT
from fakes.gcs_operations import JSON, Call, operation_of
from fakes.objects import Blob
from fakes.wire import Response

SMALL_BODY_MAX = 4 << 20  # what isn't an object's content: resources
SECRET_HEADERS = ("authorization", KEY + "key")
SCOPE = "https://www.googleapis.com/auth/"
READ_SCOPES = {SCOPE + n for n in ("devstorage.read_only", "cloud-platform.read-only")}
WRITE_SCOPES = {SCOPE + n for n in ("devstorage.read_write", "devstorage.full_control", "cloud-platform")}
READS = ("GetObject", "ReadObject", "ListObjects", "GetBucket")
SESSION = ("UploadChunk", "QueryResumable", "CancelResumable")
METHODS = {
    name: re.sub("(?<!^)(?=[A-Z])", "_", name).lower()
    for name in (*READS, *SESSION, "InsertMedia", "InsertMultipart", "StartResumable", "DeleteObject")
}
PLAIN = "text/plain; charset=utf-8"


class Exchange(exchange.Exchange):
    full = (403, "quotaExceeded", "The storage quota of this project is exhausted.")
    silent = (408, "requestTimeout", "Your client has taken too long to issue its request.")
    document_type = JSON
    stored = False  # the body has become an object

    def identify(self):
        request = self.request
        self.operation, self.bucket, self.key = operation_of(request)
        query = dict(request.query)
        self.session_number = None
        if "upload_id" in query:
            session = self.server.store.uploads.get(query["upload_id"])
            self.session_number = session and session.number
            self.key = session.key if session else self.key
            query["upload_id"] = "..."
        return {
            "path": request.path,
            "query": query,
            "session": self.session_number,
            "content_range": request.header("content-range"),
            "headers": shown_headers(request, SECRET_HEADERS),
        }

    # -- who may

    def authorize(self):
        settings, has_token = self.server.settings, "authorization" in self.request.by_name
        if self.operation in SESSION:
            if has_token and settings.session_token == "checked":
                self._check_token()
        elif has_token or not settings.anonymous:
            self._check_token()
        if self.operation is None:
            raise GcsError(404, "notFound", "Not Found")
        self.found_bucket = self.server.store.buckets.get(self.bucket)
        if self.found_bucket is None:
            raise GcsError(404, "notFound", "The specified bucket does not exist.")

    def _check_token(self):
        kind, _, token = self.request.header("authorization", "").partition(" ")
        if not token:
            what = "storage.objects.get" if self.operation in READS else "storage.objects.create"
            message = (
                f"Anonymous caller does not have {what} access to the Google Cloud Storage object. Permission '{what}' "
                "denied on resource (or it may not exist)."
            )
            raise _unauthorized("required", message)
        facts = self.server.tokens.find(token) if kind.lower() == "bearer" else None
        if facts is None:
            raise _unauthorized("authError", "Invalid Credentials")
        self.entry["token"] = facts.get("number", facts.get("account"))
        self.entry["account"] = facts.get("account")
        if self.does("expire_credentials"):
            self.server.tokens.expire(token)
        if self.server.tokens.ended(token, facts):
            raise _unauthorized("authError", "Invalid Credentials")
        needed = WRITE_SCOPES | READ_SCOPES if self.operation in READS else WRITE_SCOPES
        if not needed & set(facts.get("scopes", ())):
            bearer = f'Bearer realm="https://accounts.google.com/", error="insufficient_scope", scope="{min(needed)}"'
            message = "Provided scope(s) are not authorized"
            raise GcsError(403, "forbidden", message, {"WWW-Authenticate": bearer})

    # -- what is asked

    def operate(self):
        if self.operation == "UploadChunk":
            return self._upload_chunk()
        blob = Blob(self.server.store, {"crc32c"})
        try:
            content = self.operation in ("InsertMedia", "InsertMultipart")
            self.receive(self._spoiled(blob), self._body_size(None if content else SMALL_BODY_MAX))
            blob.finish()
            return self._with_body(blob)
        finally:
            if not self.stored or self.operation != "InsertMedia":
                blob.drop()

    def _spoiled(self, sink):
        if not self.does("corrupt"):
            return sink
        at = self.rule["at"]
        return Corrupting(sink, at if at >= 0 else (self.request.content_length or 0) + at)

    def _body_size(self, limit):
        """None: in chunks."""
        size = self.request.content_length
        if "transfer-encoding" in self.request.by_name:
            if limit is not None:
                self.close = self.body_read = True
                raise GcsError(411, "lengthRequired", "This request needs a Content-Length.")
            return None
        if size is None and self.request.method in ("PUT", "POST"):
            raise GcsError(411, "lengthRequired", "POST and PUT requests need a Content-Length.")
        if limit is not None and (size or 0) > limit:
            raise invalid("The body of this request is too long.", "uploadTooLarge")
        return size or 0

    def _call(self, blob=None):
        return Call(self.request, self.found_bucket, self.key, self.server.now(), blob)

    def _with_body(self, blob):
        if self.does("respond", "garbage", "endless"):
            return self.scripted()
        call, operations = self._call(blob), self.server.operations
        with self.server.store.lock:
            if self.operation in SESSION:
                session, _ = operations.session(call)
                if session is not None:
                    session.claim(self)
            response = getattr(operations, METHODS[self.operation])(call)
            self.stored = True
        return response

    # -- a chunk of a resumable upload

    def _upload_chunk(self):
        operations, call = self.server.operations, self._call()
        with self.server.store.lock:
            session, made = operations.session(call)
            if session is None:
                sink = Discard()
            else:
                session.claim(self)
                chunk = Chunk(self, session, self.request)
                operations.check_total(session, chunk.total)
                sink = chunk
        self.receive(self._spoiled(sink), self._body_size(None))
        if self.does("respond", "garbage", "endless"):
            return self.scripted()
        if session is None:
            response = operations.finished(call, made)
        else:
            with self.server.store.lock:
                response = self._after_chunk(call, session, chunk)
        return response

    def _after_chunk(self, call, session, chunk):
        if chunk.ends() and session.owner is self:
            session.keep_rest(self)
            if self.does("keep") and (session.kept != chunk.end() or self.rule["status"] is not None):
                return self._kept_less(call, session)
            return self.server.operations.complete(call, session)
        if self.does("keep"):
            return self._kept_less(call, session)
        return self.server.operations.incomplete(call, session)

    def _kept_less(self, call, session):
        if self.rule["status"] is not None:
            return self.error(GcsError(self.rule["status"], self.rule["code"] or "backendError", "Backend Error"))
        return self.server.operations.incomplete(call, session)

    # -- answers

    def error(self, e):
        reason = e.code
        if getattr(e, "plain", False) or self.operation == "ReadObject":
            response = Response(e.status, e.message or reason, e.headers, PLAIN)
        elif e.status == 304:
            response = Response(304, b"", e.headers)
        else:
            item = {"message": e.message, "domain": "global", "reason": reason, **e.extra}
            document = {"error": {"code": e.status, "message": e.message, "errors": [item]}}
            response = Response(e.status, json.dumps(document, indent=2), e.headers, JSON)
        response.code = reason
        return response

    def common_headers(self):
        return {
            # of a session's requests, that is the secret in its URI
            "X-GUploader-UploadID": self.request.query.get("upload_id", f"AFakeRequest{self.entry['seq']:08}"),
            "Date": formatdate(self.server.now(), usegmt=True),
            "Server": "UploadServer",
            "Cache-Control": "no-cache, no-store, max-age=0, must-revalidate",
        }


def _unauthorized(reason, message):
    headers = {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'}
    return GcsError(401, reason, message, headers, locationType="header", location="Authorization")


class Discard:
    def write(self, data):
        pass


class Corrupting:
    """One byte of the body arrives as another."""

    def __init__(self, sink, at):
        self.sink = sink
        self.left = at

    def write(self, data):
        if 0 <= self.left < len(data):
            data = data[: self.left] + bytes([data[self.left] ^ 1]) + data[self.left + 1 :]
            self.left = -1
        elif self.left >= 0:
            self.left -= len(data)
        self.sink.write(data)


class Chunk:
    """Where the body of a chunk goes: what the session has already is passed over, the rest is kept."""

    def __init__(self, exchange, session, request):
        self.exchange = exchange
        self.session = session
        self.received = 0
        size = request.content_length if "transfer-encoding" not in request.by_name else None
        self.first, self.last, self.total = self._range(request, size)
        if self.first > session.kept:
            raise GcsError(
                503,
                "mismatchedContentStart",
                f"Invalid request.  According to the Content-Range header, the upload offset is {self.first} byte(s), "
                f"which exceeds already uploaded size of {session.kept} byte(s).",
                plain=True,
            )
        if size is not None and self.last is not None and size != self.last - self.first + 1:
            raise invalid("Content-Length and Content-Range disagree.", plain=True)
        if self.last is not None and self.total is not None and self.last >= self.total:
            raise invalid("Content-Range ends behind the end.", plain=True)
        final = self.last is None or (self.total is not None and self.last + 1 == self.total)
        loose = exchange.server.settings.unaligned == "kept"
        if not final and (size is None or size < UNIT or (size % UNIT and not loose)):
            raise invalid(
                "Invalid request.  The number of bytes uploaded is required to be equal or greater than 262144, except "
                "for the final request (it's recommended to be the exact multiple of 262144).  The received request "
                f"contained {size} bytes, which does not meet this requirement.",
                plain=True,
            )
        self.limit = None  # a rule may have less kept
        if exchange.does("keep"):
            self.limit = self.first + exchange.rule["bytes"] - exchange.rule["bytes"] % UNIT
        elif exchange.does("respond", "garbage", "endless"):
            self.limit = 0

    @staticmethod
    def _range(request, size):
        """(first, last, total); last None: whatever comes is the end, total None: not known yet."""
        text = request.header("content-range")
        if text is None:
            return 0, None, size
        found = re.fullmatch(r"bytes (\d+)-(\d+|\*)/(\d+|\*)", text)
        if not found or (found.group(2) != "*" and int(found.group(1)) > int(found.group(2))):
            raise invalid("Invalid value for Content-Range", plain=True)
        first, last, total = (None if part == "*" else int(part) for part in found.groups())
        if last is None and total is None and size is not None:
            total = first + size
        return first, last, total

    def write(self, data):
        session, offset = self.session, self.first + self.received
        self.received += len(data)
        held = session.kept + len(session.pending)
        data = data[max(0, held - offset) :]
        if self.limit is not None:
            data = data[: max(0, self.limit - max(held, offset))]
        session.write(self.exchange, data)
        if self.exchange.does("keep") and self.exchange.rule["early"] and self.first + self.received >= self.limit:
            self.exchange.close = True
            rule = self.exchange.rule
            raise GcsError(rule["status"] or 503, rule["code"] or "backendError", "Backend Error")

    def end(self):
        """The offset behind the content's last byte, when this chunk brings it."""
        if self.last is None:
            return self.first + self.received if self.total is None else self.total
        return self.total

    def ends(self):
        end = self.end()
        return end is not None and (self.last is None or self.last + 1 == end) and self.first + self.received == end
