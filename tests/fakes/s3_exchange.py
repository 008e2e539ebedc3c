"""One request to the fake S3: signature, bucket, digests, operation; exchange.py has the way it goes."""

import re
from email.utils import formatdate

from fakes import exchange, s3_xml
from fakes.exchange import shown_headers
from fakes.objects import Blob
from fakes.s3_checks import Expected, S3Error, check_body
from fakes.s3_operations import Call, operation_of
from fakes.sigv4 import AuthError, verify
from fakes.wire import Response

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


class Exchange(exchange.Exchange):
    full = (507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.")
    silent = (
        400,
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to within the timeout period. Idle "
        "connections will be closed.",
    )
    document_type = "application/xml"
    stored = False  # the body has become an object or a part
    verdict = None

    def identify(self):
        request = self.request
        self.bucket, self.key = self.server.bucket_of(request)
        self.operation = operation_of(request, self.bucket, self.key)
        part = request.query.get("partNumber", "")
        self.part = int(part) if part.isdigit() else None
        return {
            "path": request.path,
            "part": self.part,
            "query": {n: v for n, v in request.query.items() if n != "X-Amz-Signature"},
            "headers": shown_headers(request, SECRET_HEADERS, _without_signature),
        }

    def authorize(self):
        try:
            self.verdict = verify(self.request, "s3", self.server.keys, self.server.now())
        except AuthError as e:
            raise S3Error(e.status, e.code, e.message, **e.extra) from None
        self.entry["access_key"] = self.verdict.key.access_key
        self.entry["signed_headers"] = self.verdict.signed_headers
        self.entry["payload"] = self.verdict.payload
        if self.does("expire_credentials"):
            self.server.expired.add(self.verdict.key.access_key)
        if self.verdict.key.access_key in self.server.expired:
            raise S3Error(400, "ExpiredToken", "The provided token has expired.")
        self.found_bucket = self._check_bucket()

    def operate(self):
        expected = Expected(self.request, self.verdict, self.server.settings)
        if self.operation != "CompleteMultipartUpload":
            expected.parse_digest()
        blob = self._receive_blob(expected)
        try:
            return self._with_body(self.found_bucket, expected, blob)
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

    def _receive_blob(self, expected):
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
        algorithms = expected.algorithms() if self.operation != "CompleteMultipartUpload" else {"sha256"}
        blob = Blob(self.server.store, algorithms | ({"sha256"} if expected.sha256 else set()))
        try:
            self.receive(blob, size)
        except BaseException:
            blob.drop()
            raise
        return blob.finish()

    def _with_body(self, bucket, expected, blob):
        check_body(expected, blob)
        if self.does("respond", "garbage", "endless"):
            return self.scripted()
        if self.does("error_in_200") and not self.rule["apply"]:
            response = Response(200)
        else:
            call = Call(self.request, bucket, self.key, blob, expected, self.server.now())
            with self.server.store.lock:
                response = getattr(self.server.operations, METHODS[self.operation])(call)
                self.stored = self.operation in ("PutObject", "UploadPart")
        return response

    # -- answers

    def error(self, e):
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

    def scripted_headers(self):
        region = self.rule["region"]
        return {**({"x-amz-bucket-region": region} if region else {}), **self.rule["headers"]}

    def scripted_error(self):
        extra = {"Region": self.rule["region"]} if self.rule["region"] else {}
        return S3Error(self.rule["status"], self.rule["code"], self.rule["message"], self.scripted_headers(), **extra)

    def deliver_error_in_200(self, response, head_only):
        error = self.error(S3Error(200, self.rule["code"], self.rule["message"]))
        declaration, _, rest = error.body.partition(b"\n")
        response.body = declaration + b"\n" + b" " * self.rule["spaces"] + rest
        response.headers["Content-Type"] = "application/xml"
        self.entry["code"] = self.rule["code"]
        self.connection.send_response(response, head_only, self.close)

    def common_headers(self):
        return {
            "x-amz-request-id": self._request_id(),
            "x-amz-id-2": self._host_id(),
            "Date": formatdate(self.server.now(), usegmt=True),
            "Server": "AmazonS3",
        }


def _without_signature(name, value):
    return re.sub("Signature=[0-9a-f]+", "Signature=...", value) if name == "authorization" else value
