"""One request's way through the fake S3: rule, signature, body, digests, operation, answer.

Each step is where a rule's action may step in; run() is the whole way and _work() its regular part.
"""

import re
import time
from email.utils import formatdate

from fakes import s3_xml
from fakes.objects import Blob, Full
from fakes.s3_answers import Answers
from fakes.s3_checks import Expected, S3Error, check_body
from fakes.s3_operations import Call, operation_of
from fakes.sigv4 import AuthError, verify
from fakes.wire import Gone, Response

SMALL_BODY_MAX = 4 << 20  # what isn't an object's content: the list of parts
SECRET_HEADERS = ("x-amz-security-token", "x-amz-server-side-encryption-customer-key")
METHODS = {
    name: re.sub("(?<!^)(?=[A-Z])", "_", name).lower()
    for name in (
        "PutObject",
        "GetObject",
        "HeadObject",
        "DeleteObject",
        "HeadBucket",
        "ListMultipartUploads",
        "ListParts",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
        "AbortMultipartUpload",
    )
}
METHODS["ListObjectsV2"] = "list_objects_v2"


class Exchange(Answers):
    """One request and its answer. `entry` is its line in the log."""

    def __init__(self, server, connection, request):
        self.server = server
        self.connection = connection
        self.request = request
        self.bucket, self.key = server.bucket_of(request)
        self.operation = operation_of(request, self.bucket, self.key)
        self.close = request.header("connection", "").lower() == "close"
        self.body_read = False
        self.stored = False  # the body has become an object or a part
        self.verdict = None
        part = request.query.get("partNumber", "")
        self.part = int(part) if part.isdigit() else None
        self.entry = server.begin(
            connection,
            self.operation or "Unknown",
            method=request.method,
            path=request.path,
            bucket=self.bucket,
            key=self.key,
            part=self.part,
            query={n: v for n, v in request.query.items() if n != "X-Amz-Signature"},
            host=request.header("host"),
            headers=_shown_headers(request),
            content_length=request.content_length,
            request_bytes=0,
            answer_bytes=0,
        )
        self.rule = server.rules.take(
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

    def run(self):
        """False when the connection is at its end."""
        sent_before = self.connection.sent
        how = "failed"
        try:
            response = self._guarded()
            self._finish_body()
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
        except S3Error as e:
            return self._error(e)
        except AuthError as e:
            return self._error(S3Error(e.status, e.code, e.message, **e.extra))
        except Full:
            return self._error(
                S3Error(507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.")
            )

    def _does(self, *kinds):
        return self.rule is not None and self.rule.kind in kinds

    # -- steps

    def _work(self):
        before_auth = self.rule is not None and self.rule.before_auth
        if before_auth and (response := self._at_head()) is not None:
            return response
        self.verdict = verify(self.request, "s3", self.server.keys, self.server.now())
        self.entry["access_key"] = self.verdict.key.access_key
        self.entry["signed_headers"] = self.verdict.signed_headers
        self.entry["payload"] = self.verdict.payload
        if self._does("expire_credentials"):
            self.server.expired.add(self.verdict.key.access_key)
        if self.verdict.key.access_key in self.server.expired:
            raise S3Error(400, "ExpiredToken", "The provided token has expired.")
        bucket = self._check_bucket()
        if not before_auth and (response := self._at_head()) is not None:
            return response
        expected = Expected(self.request, self.verdict, self.server.settings)
        if self.operation != "CompleteMultipartUpload":
            expected.parse_digest()
        blob = self._receive(expected)
        try:
            return self._with_body(bucket, expected, blob)
        finally:
            if not self.stored:
                blob.drop()

    def _check_bucket(self):
        if self.operation is None:
            raise S3Error(501, "NotImplemented", "This fake doesn't play that operation")
        bucket = self.server.store.buckets.get(self.bucket)
        if bucket is None:
            raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist")
        if self.verdict.region != bucket.region:
            raise self._wrong_region(bucket.region)
        owner = self.request.header("x-amz-expected-bucket-owner")
        if owner is not None and owner != bucket.owner:
            raise S3Error(403, "AccessDenied", "Access Denied")
        return bucket

    def _wrong_region(self, region):
        status, tells = self.server.settings.wrong_region, self.server.settings.wrong_region_tells
        code, message = {
            301: (
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified endpoint.",
            ),
            307: ("TemporaryRedirect", "Please re-send this request to the specified temporary endpoint."),
            400: (
                "AuthorizationHeaderMalformed",
                f"The authorization header is malformed; the region '{self.verdict.region}' is "
                "wrong" + (f"; expecting '{region}'" if "body" in tells else ""),
            ),
        }[status]
        headers = {"x-amz-bucket-region": region} if "header" in tells else {}
        extra = {"Region": region} if "body" in tells else {}
        if status != 400:
            extra["Endpoint"] = headers["Location"] = f"http://{self.bucket}.s3.{region}.test/"
            extra["Bucket"] = self.bucket
        return S3Error(status, code, message, headers, **extra)

    def _pause(self, place):
        """The actions that are nothing but time."""
        if not self._does("delay", "hold", "stall") or self.rule["at"] != place:
            return
        if self.rule.kind == "delay":
            time.sleep(self.rule["ms"] / 1000)
        elif self.rule.kind == "hold":
            self.server.holds.wait(self.rule["name"])
        else:
            self.connection.wait_gone()

    def _at_head(self):
        self._pause("head")
        if self._does("respond") and (self.rule["early"] or self.rule.before_auth):
            self.body_read = self.body_read or self.rule["early"]
            self.close = self.close or self.rule["early"]
            return self._scripted()
        return None

    def _receive(self, expected):
        """The whole body as a Blob."""
        size = self.request.content_length
        content = self.operation in ("PutObject", "UploadPart")
        if "transfer-encoding" in self.request.by_name:
            self.close = self.body_read = True
            raise S3Error(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
        if size is None and self.request.method in ("PUT", "POST"):
            raise S3Error(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        size = size or 0
        if not content and size > SMALL_BODY_MAX:
            raise S3Error(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        if self.request.expects_continue:
            self.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        algorithms = expected.algorithms() if self.operation != "CompleteMultipartUpload" else {"sha256"}
        blob = Blob(self.server.store, algorithms | ({"sha256"} if expected.sha256 else set()))
        self.body_read = True
        try:
            self._receive_into(blob, size)
        except BaseException:
            blob.drop()
            raise
        return blob.finish()

    def _receive_into(self, blob, size):
        first = size
        if self._does("close_request") or (self._does("hold", "stall") and self.rule["at"] == "body"):
            first = min(size, self.rule["bytes"] or 0)
        timeout = self.server.settings.body_timeout_seconds
        try:
            self._copy(blob, first, timeout)
            if self._does("close_request"):
                self.connection.reset() if self.rule["reset"] else self.connection.cut()
            self._pause("body")
            self._copy(blob, size - first, timeout)
        except TimeoutError:
            self.close = True
            raise S3Error(
                400,
                "RequestTimeout",
                "Your socket connection to the server was not read from or written to within the "
                "timeout period. Idle connections will be closed.",
            ) from None

    def _copy(self, blob, size, timeout):
        for piece in self.connection.read_body(size, timeout):
            self.entry["request_bytes"] += len(piece)
            try:
                blob.write(piece)
            except Full:
                self.close = True
                raise

    def _with_body(self, bucket, expected, blob):
        check_body(expected, blob)
        if self._does("respond", "garbage", "endless"):
            return self._scripted()
        if self._does("error_in_200") and not self.rule["apply"]:
            response = Response(200)
        else:
            call = Call(self.request, bucket, self.key, blob, expected, self.server.now())
            with self.server.store.lock:
                response = getattr(self.server.operations, METHODS[self.operation])(call)
                self.stored = self.operation in ("PutObject", "UploadPart")
        self._pause("answer")
        return response

    def _finish_body(self):
        """A request that was refused by its head: its body still has to go somewhere."""
        if self.body_read:
            return
        if self.request.expects_continue:
            self.close = True
            return
        for piece in self.connection.read_body(
            self.request.content_length or 0, self.server.settings.body_timeout_seconds
        ):
            self.entry["request_bytes"] += len(piece)

    # -- answers

    def _error(self, e):
        fields = list(e.extra.items())
        if self.bucket and "BucketName" not in e.extra:
            fields.append(("BucketName", self.bucket))
        fields += [("Resource", self.request.path), ("RequestId", self._request_id()), ("HostId", self._host_id())]
        response = Response(e.status, s3_xml.error(e.code, e.message, fields), e.headers, "application/xml")
        response.code = e.code
        return response

    def _request_id(self):
        return f"FAKE{self.entry['seq']:012X}"

    def _host_id(self):
        return f"host/{self.entry['seq']}+fake="

    def _scripted(self):
        rule = self.rule
        if rule.kind == "garbage":
            return Response(rule["status"], rule["body"], content_type="application/xml")
        if rule.kind == "endless":
            return Response(rule["status"])
        headers = dict(rule["headers"])
        extra = {}
        if rule["region"]:
            headers.setdefault("x-amz-bucket-region", rule["region"])
            extra["Region"] = rule["region"]
        if rule["body"] is None and rule["code"]:
            return self._error(S3Error(rule["status"], rule["code"], rule["message"], headers, **extra))
        return Response(rule["status"], rule["body"] or b"", headers, "application/xml")

    def _deliver(self, response):
        clock = formatdate(self.server.now(), usegmt=True)
        common = {
            "x-amz-request-id": self._request_id(),
            "x-amz-id-2": self._host_id(),
            "Date": clock,
            "Server": "AmazonS3",
        }
        response.headers = {**common, **response.headers}
        self.entry["status"], self.entry["code"] = response.status, response.code
        action = getattr(self, f"deliver_{self.rule.kind}", None) if self.rule else None
        head_only = self.request.method == "HEAD"
        if action is not None:
            action(response, head_only)
        else:
            self.connection.send_response(response, head_only, self.close)


def _shown_headers(request):
    """As received, without what a log must not keep."""
    shown = {}
    for name in request.by_name:
        value = request.header(name)
        if name == "authorization":
            value = re.sub("Signature=[0-9a-f]+", "Signature=...", value)
        shown[name] = "..." if name in SECRET_HEADERS else value
    return shown
