"""One request to the fake Azure: who asks, container, digests, operation; exchange.py has the way it goes."""

import re
import time
from email.utils import formatdate

from fakes import exchange
from fakes.azure_auth import authenticate
from fakes.azure_checks import Expected, check_version
from fakes.azure_operations import CONTENT, OPERATIONS, Call, operation_of
from fakes.azure_objects import Container
from fakes.exchange import StoreError, shown_headers
from fakes.objects import Blob
from fakes.s3_xml import document
from fakes.wire import Response

SMALL_BODY_MAX = 8 << 20  # what isn't a blob's content: a list of 50,000 blocks
SECRET_HEADERS = ("x-ms-encryption-key",)
METHODS = {name: re.sub("(?<!^)(?=[A-Z])", "_", name).lower() for name in OPERATIONS.values()}


class Exchange(exchange.Exchange):
    full = (503, "ServerBusy", "Ingress is over the account limit.")
    silent = (500, "OperationTimedOut", "The operation could not be completed within the permitted time.")
    document_type = "application/xml"
    stored = False  # the body has become a blob or a block
    grant = None
    version = None

    def identify(self):
        request = self.request
        self.account, self.bucket, self.key = self.server.resource_of(request)
        self.operation = operation_of(request, self.bucket, self.key)
        self.part = request.query.get("blockid")
        return {
            "path": request.path,
            "part": self.part,
            "query": {n: v if n != "sig" else "..." for n, v in request.query.items()},
            "headers": shown_headers(request, SECRET_HEADERS, _without_signature),
        }

    def authorize(self):
        self.version = check_version(self.request)
        self.grant = authenticate(self.request, self.account, (self.bucket, self.key), self.server)
        self.entry["authority"], self.entry["credential"] = self.grant.kind, self.grant.name
        if self.does("expire_credentials"):
            self.server.expired.add(self.grant.name)
            self.grant = authenticate(self.request, self.account, (self.bucket, self.key), self.server)
        if self.operation is None:
            raise StoreError(501, "NotImplemented", "This fake doesn't play that operation.")

    def _container(self):
        """Of the request's name; the one operation that makes it gets what isn't in the store yet."""
        found = self.server.store.buckets.get((self.account, self.bucket))
        if self.operation == "CreateContainer":
            self.grant.need("c", "w")
            if found is not None:
                raise StoreError(409, "ContainerAlreadyExists", "The specified container already exists.")
            return Container(self.account, self.bucket)
        if found is None:
            raise StoreError(404, "ContainerNotFound", "The specified container does not exist.")
        return found

    def operate(self):
        expected = Expected(self.request)
        blob = self._receive_blob()
        try:
            return self._with_body(expected, blob)
        finally:
            if not self.stored:
                blob.drop()

    def _receive_blob(self):
        size = self.request.content_length
        if "transfer-encoding" in self.request.by_name or (size is None and self.request.method == "PUT"):
            self.close = self.body_read = True
            raise StoreError(411, "MissingContentLengthHeader", "Content-Length HTTP header not specified.")
        size = size or 0
        if self.operation not in CONTENT and size > SMALL_BODY_MAX:
            raise StoreError(413, "RequestBodyTooLarge", "The request body is too large.", MaxLimit=str(SMALL_BODY_MAX))
        blob = Blob(self.server.store, {"crc64nvme"})
        try:
            self.receive(blob, size)
        except BaseException:
            blob.drop()
            raise
        return blob.finish()

    def _with_body(self, expected, blob):
        expected.check(blob)
        if self.does("respond", "garbage", "endless"):
            return self.scripted()
        with self.server.store.lock:
            call = Call(self.request, self.grant, self._container(), self.key, blob, expected, self.server.now())
            response = getattr(self.server.operations, METHODS[self.operation])(call)
            self.stored = self.operation in CONTENT
        return response

    # -- answers

    def error(self, e):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.0000000Z", time.gmtime(self.server.now()))
        message = f"{e.message}\nRequestId:{self._request_id()}\nTime:{stamp}"
        fields = [("Code", e.code), ("Message", message), *e.extra.items()]
        body = b"\xef\xbb\xbf" + document("Error", fields, None).replace(b"&#10;", b"\n") if e.status != 304 else b""
        response = Response(e.status, body, {"x-ms-error-code": e.code, **e.headers}, "application/xml")
        response.code = e.code
        return response

    def _request_id(self):
        return f"fa4e0000-001e-0000-0000-{self.entry['seq']:012x}"

    def common_headers(self):
        if self.does("garbage"):  # somebody else's answer, in the store's place
            return {"Server": "portal"}
        made = {
            "Server": "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0",
            "x-ms-request-id": self._request_id(),
            "x-ms-version": self.version or "2009-09-19",
            "Date": formatdate(self.server.now(), usegmt=True),
        }
        client = self.request.header("x-ms-client-request-id")
        return {**made, **({"x-ms-client-request-id": client} if client else {})}


def _without_signature(name, value):
    if name != "authorization":
        return value
    return re.sub("(SharedKey [^:]*:).*", r"\1...", value) if value.startswith("SharedKey") else "..."
