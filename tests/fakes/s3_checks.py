"""What S3 demands of the headers of a write: checksums, Object Lock, encryption, storage class, tags; and how it
answers when it doesn't get it. Begin with Attributes and check_body()."""

import base64
import binascii
import calendar
import hashlib
import re
import time
from urllib.parse import parse_qsl

from fakes import checksums
from fakes.exchange import StoreError

STORAGE_CLASSES = {
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "GLACIER_IR",
    "DEEP_ARCHIVE",
    "REDUCED_REDUNDANCY",
    "EXPRESS_ONEZONE",
}
ENCRYPTIONS = {"AES256", "aws:kms", "aws:kms:dsse"}
PLAIN_HEADERS = (
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
)
SSE = "x-amz-server-side-encryption"
SSE_C = SSE + "-customer-"
LOCK = "x-amz-object-lock-"
METADATA_MAX = 2048
TYPES = {
    "crc32": ("COMPOSITE", "FULL_OBJECT"),
    "crc32c": ("COMPOSITE", "FULL_OBJECT"),
    "crc64nvme": ("FULL_OBJECT",),
    "sha1": ("COMPOSITE",),
    "sha256": ("COMPOSITE",),
}


class S3Error(StoreError):
    """Becomes the XML body of an answer, `extra` as further elements of it."""


def invalid(message, code="InvalidRequest", **extra):
    return S3Error(400, code, message, **extra)


def _decoded(text, size, name):
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != size:
        code = "InvalidDigest" if name == "Content-MD5" else "InvalidRequest"
        raise invalid(f"The {name} you specified is not valid.", code)
    return raw


class Expected:
    """The digests that a request announces for its body."""

    def __init__(self, request, verdict, settings):
        self.md5 = None
        if request.header("content-md5") is not None:
            self.md5 = _decoded(request.header("content-md5"), 16, "Content-MD5")
        found = {
            n[len("x-amz-checksum-") :]: request.header(n) for n in request.by_name if n.startswith("x-amz-checksum-")
        }
        for other in ("algorithm", "type", "mode"):
            found.pop(other, None)
        if found and settings.checksums == "refused":
            raise invalid(
                f"Unsupported header 'x-amz-checksum-{next(iter(found))}' received for this API call.",
                "InvalidArgument",
            )
        if settings.checksums == "ignored":
            found = {}
        if len(found) > 1:
            raise invalid("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
        self.algorithm, self.digest = None, None
        for name, value in found.items():
            if name not in checksums.ALGORITHMS:
                raise invalid("The algorithm type you specified in x-amz-checksum- header is invalid.")
            self.algorithm = name
            self.text = value
        payload = verdict.payload
        if payload.startswith("STREAMING-"):
            raise S3Error(501, "NotImplemented", "aws-chunked bodies are not played here")
        self.sha256 = None
        if payload == "UNSIGNED-PAYLOAD":
            if not request.tls and not verdict.presigned:
                raise invalid("UNSIGNED-PAYLOAD is accepted over TLS only")
        elif not re.fullmatch("[0-9a-f]{64}", payload):
            raise invalid("x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value.", "InvalidArgument")
        else:
            self.sha256 = payload

    def parse_digest(self):
        """Apart from the constructor: on CompleteMultipartUpload the value may be a composite one."""
        if self.algorithm is not None:
            size = checksums.DIGEST_SIZE[self.algorithm]
            self.digest = _decoded(self.text, size, f"x-amz-checksum-{self.algorithm}")
        return self

    def algorithms(self):
        needed = {self.algorithm} if self.algorithm else set()
        return needed | ({"sha256"} if self.sha256 else set())


def check_body(expected, blob):
    if expected.sha256 is not None and blob.digests["sha256"].hex() != expected.sha256:
        raise invalid(
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
            "XAmzContentSHA256Mismatch",
            ClientComputedContentSHA256=expected.sha256,
            S3ComputedContentSHA256=blob.digests["sha256"].hex(),
        )
    if expected.md5 is not None and blob.md5 != expected.md5:
        raise invalid(
            "The Content-MD5 you specified did not match what we received.",
            "BadDigest",
            ExpectedDigest=expected.md5.hex(),
            CalculatedDigest=checksums.text(blob.md5),
        )
    if expected.digest is not None and blob.digests[expected.algorithm] != expected.digest:
        raise invalid(
            f"The {expected.algorithm.upper()} you specified did not match the calculated checksum.", "BadDigest"
        )


def customer_key(request, settings):
    """The MD5 of the SSE-C key in this request's headers (text), or None."""
    given = {n: request.header(SSE_C + n) for n in ("algorithm", "key", "key-md5")}
    if all(v is None for v in given.values()):
        return None
    if not request.tls and not settings.sse_c_over_http:
        raise invalid(
            "Requests specifying Server Side Encryption with Customer provided keys must be made over a "
            "secure connection."
        )
    if any(v is None for v in given.values()):
        raise invalid(
            "Requests specifying Server Side Encryption with Customer provided keys must provide the "
            "algorithm, the key and its MD5.",
            "InvalidArgument",
        )
    if given["algorithm"] != "AES256":
        raise invalid("The encryption algorithm you specified is not valid.", "InvalidEncryptionAlgorithmError")
    try:
        key = base64.b64decode(given["key"], validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise invalid("The secret key was invalid for the specified algorithm.", "InvalidArgument")
    if base64.b64encode(hashlib.md5(key).digest()).decode() != given["key-md5"]:
        raise invalid("The calculated MD5 hash of the key did not match the hash that was provided.", "InvalidArgument")
    return given["key-md5"]


def check_customer_key(request, settings, attributes, part=False):
    """The key that the object (or upload) was begun with, and no other."""
    given = customer_key(request, settings)
    wanted = attributes.customer_key_md5
    if given == wanted:
        return
    if wanted is None:
        raise invalid("The encryption parameters are not applicable to this object.")
    if given is None and part:
        raise invalid(
            "The multipart upload initiate requested encryption. Subsequent part requests must include the "
            "appropriate encryption parameters."
        )
    if given is None:
        raise invalid(
            "The object was stored using a form of Server Side Encryption. The correct parameters must be "
            "provided to retrieve the object."
        )
    if part:
        raise invalid("The provided encryption parameters did not match the ones used originally.")
    raise S3Error(403, "AccessDenied", "Access Denied")


class Attributes:
    """What PutObject and CreateMultipartUpload fix for the object, as headers that HEAD and GET give back."""

    def __init__(self, request, bucket, settings, now):
        self.headers = {n: request.header(n) for n in PLAIN_HEADERS if n in request.by_name}
        self.headers.setdefault("content-type", "binary/octet-stream")
        self._metadata(request)
        self._storage_class(request)
        self._tags(request)
        self.customer_key_md5 = customer_key(request, settings)
        self._encryption(request)
        self._object_lock(request, bucket, now)
        self.must_have_digest = bucket.default_retention or any(n.startswith(LOCK) for n in self.headers)
        self.algorithm, self.checksum_type = self._checksum(request, settings)

    def _metadata(self, request):
        meta = {n: request.header(n) for n in request.by_name if n.startswith("x-amz-meta-")}
        size = sum(len(n) - len("x-amz-meta-") + len(v.encode("utf-8", "surrogateescape")) for n, v in meta.items())
        if size > METADATA_MAX:
            raise invalid("Your metadata headers exceed the maximum allowed metadata size.", "MetadataTooLarge")
        self.headers |= meta

    def _storage_class(self, request):
        name = request.header("x-amz-storage-class", "STANDARD")
        if name not in STORAGE_CLASSES:
            raise invalid("The storage class you specified is not valid.", "InvalidStorageClass")
        self.storage_class = name
        if name != "STANDARD":
            self.headers["x-amz-storage-class"] = name

    def _tags(self, request):
        text = request.header("x-amz-tagging")
        self.tags = {}
        if text is None:
            return
        try:
            pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
        except ValueError:
            pairs = [(None, None)] * 11
        self.tags = dict(pairs)
        if len(pairs) > 10 or len(self.tags) != len(pairs):
            raise invalid(
                "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag "
                "name duplicates.",
                "InvalidArgument",
            )
        self.headers["x-amz-tagging"] = text
        self.headers["x-amz-tagging-count"] = str(len(self.tags))

    def _encryption(self, request):
        kind = request.header(SSE)
        if self.customer_key_md5 is not None:
            if kind is not None:
                raise invalid(
                    "Server Side Encryption with Customer provided key is incompatible with the encryption "
                    "method specified",
                    "InvalidArgument",
                )
            self.headers[SSE_C + "algorithm"] = "AES256"
            self.headers[SSE_C + "key-md5"] = self.customer_key_md5
            return
        more = {n: request.header(n) for n in request.by_name if n.startswith((SSE + "-aws-kms", SSE + "-bucket-key"))}
        if kind is not None and kind not in ENCRYPTIONS:
            raise invalid("The encryption method specified is not supported", "InvalidEncryptionAlgorithmError")
        if more and not (kind or "").startswith("aws:kms"):
            raise invalid(
                f"Server Side Encryption with AWS KMS managed key requires HTTP header {SSE} : aws:kms",
                "InvalidArgument",
            )
        if kind is not None:
            self.headers |= {SSE: kind, **more}
            context = request.header(SSE + "-context")
            if context is not None:
                self.headers[SSE + "-context"] = context

    @property
    def etag_is_md5(self):
        return self.customer_key_md5 is None and not self.headers.get(SSE, "").startswith("aws:kms")

    def _object_lock(self, request, bucket, now):
        mode, until, hold = (request.header(LOCK + n) for n in ("mode", "retain-until-date", "legal-hold"))
        if mode is None and until is None and hold is None:
            return
        if not bucket.object_lock:
            raise invalid("Bucket is missing Object Lock Configuration")
        if (mode is None) != (until is None):
            raise invalid(
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
                "InvalidArgument",
            )
        if mode not in (None, "GOVERNANCE", "COMPLIANCE"):
            raise invalid("Unknown wormMode directive.", "InvalidArgument")
        if hold not in (None, "ON", "OFF"):
            raise invalid("Legal Hold must be either of 'ON' or 'OFF'", "InvalidArgument")
        if until is not None and _retain_until(until) <= now:
            raise invalid("The retain until date must be in the future!", "InvalidArgument")
        for name, value in (("mode", mode), ("retain-until-date", until), ("legal-hold", hold)):
            if value is not None:
                self.headers[LOCK + name] = value

    def locked(self, now):
        if self.headers.get(LOCK + "legal-hold") == "ON":
            return True
        until = self.headers.get(LOCK + "retain-until-date")
        return until is not None and _retain_until(until) > now

    def _checksum(self, request, settings):
        name, kind = request.header("x-amz-checksum-algorithm"), request.header("x-amz-checksum-type")
        if settings.checksums == "refused" and (name or kind):
            raise invalid(
                "Unsupported header 'x-amz-checksum-algorithm' received for this API call.", "InvalidArgument"
            )
        if settings.checksums == "ignored" or name is None:
            if kind is not None and settings.checksums == "checked":
                raise invalid(
                    "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
                )
            return None, None
        name = name.lower()
        if name not in TYPES:
            raise invalid("Checksum algorithm provided is unsupported.")
        kind = kind or TYPES[name][0]
        if kind not in TYPES[name]:
            raise invalid(f"The {kind} checksum type cannot be used with the {name} checksum algorithm.")
        return name, kind

    def check_digest_given(self, expected):
        if self.must_have_digest and expected.md5 is None and expected.algorithm is None:
            raise invalid(
                "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock "
                "parameters"
            )


def _retain_until(text):
    try:
        return calendar.timegm(time.strptime(re.sub(r"\.\d+Z$", "Z", text), "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        raise invalid("The retain until date must be provided in ISO 8601 format", "InvalidArgument") from None
