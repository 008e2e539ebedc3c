"""What Azure demands of the headers of a write: digests, metadata, tier, tags, immutability, customer keys; and how it
answers when it doesn't get it. Begin with Attributes and Expected."""

import base64
import binascii
import calendar
import hashlib
import re
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import parse_qsl

from fakes.exchange import StoreError

# the service takes these and no others
VERSIONS = set(
    """2009-09-19 2011-08-18 2012-02-12 2013-08-15 2014-02-14 2015-02-21 2015-04-05 2015-07-08 2015-12-11 2016-05-31
    2017-04-17 2017-07-29 2017-11-09 2018-03-28 2018-11-09 2019-02-02 2019-07-07 2019-10-10 2019-12-12 2020-02-10
    2020-04-08 2020-06-12 2020-08-04 2020-10-02 2020-12-06 2021-02-12 2021-04-10 2021-06-08 2021-08-06 2021-10-04
    2021-12-02 2022-11-02 2023-01-03 2023-05-03 2023-08-03 2023-11-03 2024-02-04 2024-05-04 2024-08-04 2024-11-04
    2025-01-05 2025-05-05 2025-07-05 2025-11-05""".split()
)
TIERS = ("Hot", "Cool", "Cold", "Archive")
COLD_SINCE = "2021-12-02"
METADATA = "x-ms-meta-"
METADATA_MAX = 8192
# header of a write -> header of a read
PLAIN_HEADERS = {
    "x-ms-blob-content-type": "Content-Type",
    "x-ms-blob-content-encoding": "Content-Encoding",
    "x-ms-blob-content-language": "Content-Language",
    "x-ms-blob-content-disposition": "Content-Disposition",
    "x-ms-blob-cache-control": "Cache-Control",
}
IMMUTABLE_DATE = "x-ms-immutability-policy-until-date"
IMMUTABLE_MODE = "x-ms-immutability-policy-mode"
LEGAL_HOLD = "x-ms-legal-hold"
ENCRYPTION = "x-ms-encryption-"


def invalid_header(name, value="", message="The value for one of the HTTP headers is not in the correct format."):
    return StoreError(400, "InvalidHeaderValue", message, HeaderName=name, HeaderValue=value)


def decoded(text, size=None):
    """The bytes of base64, or None when it isn't that (of `size` bytes)."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if size is None or len(raw) == size else None


def check_version(request):
    version = request.header("x-ms-version")
    if version is not None and version not in VERSIONS:
        raise invalid_header("x-ms-version", version)
    return version


class Expected:
    """The digests that a request announces for its body: one of two, not both."""

    def __init__(self, request):
        self.md5 = self.crc64 = None
        md5, crc64 = request.header("content-md5"), request.header("x-ms-content-crc64")
        if md5 is not None and crc64 is not None:
            raise StoreError(400, "InvalidInput", "Both x-ms-content-crc64 and Content-MD5 headers are present.")
        if md5 is not None:
            self.md5 = decoded(md5, 16)
            if self.md5 is None:
                raise StoreError(400, "InvalidMd5", "The MD5 value specified in the request is invalid.")
        if crc64 is not None:
            self.crc64 = decoded(crc64, 8)
            if self.crc64 is None:
                raise invalid_header("x-ms-content-crc64", crc64)

    def check(self, blob):
        if self.md5 is not None and blob.md5 != self.md5:
            raise StoreError(
                400,
                "Md5Mismatch",
                "The MD5 value specified in the request did not match with the MD5 value calculated by the server.",
                UserSpecifiedMd5=base64.b64encode(self.md5).decode(),
                ServerCalculatedMd5=base64.b64encode(blob.md5).decode(),
            )
        if self.crc64 is not None and crc64_of(blob) != self.crc64:
            raise StoreError(
                400,
                "Crc64Mismatch",
                "The CRC64 value specified in the request did not match with the CRC64 value calculated by the server.",
                UserSpecifiedCrc=base64.b64encode(self.crc64).decode(),
                ServerCalculatedCrc=base64.b64encode(crc64_of(blob)).decode(),
            )

    def answer(self, blob):
        """The headers with which a write says what has come."""
        if self.md5 is not None:
            return {"Content-MD5": base64.b64encode(blob.md5).decode()}
        return {"x-ms-content-crc64": base64.b64encode(crc64_of(blob)).decode()}


def crc64_of(blob):
    """Azure's order of the bytes is the other one than S3's."""
    return blob.digests["crc64nvme"][::-1]


def customer_key(request):
    """The SHA-256 of the key in this request's headers (text), or None."""
    given = {n: request.header(ENCRYPTION + n) for n in ("key", "key-sha256", "algorithm")}
    if all(v is None for v in given.values()):
        return None
    for name, value in given.items():
        if value is None:
            raise StoreError(400, "MissingRequiredHeader", "A header is missing.", HeaderName=ENCRYPTION + name)
    if not request.tls:
        raise StoreError(400, "InvalidInput", "Customer-provided keys are taken over HTTPS only.")
    if given["algorithm"] != "AES256":
        raise invalid_header(ENCRYPTION + "algorithm", given["algorithm"])
    key = decoded(given["key"], 32)
    if key is None or base64.b64encode(hashlib.sha256(key).digest()).decode() != given["key-sha256"]:
        raise invalid_header(ENCRYPTION + "key-sha256")
    return given["key-sha256"]


def check_customer_key(request, wanted):
    """The key that the blob (or its blocks) began with, and no other."""
    given = customer_key(request)
    if given == wanted:
        return
    if wanted is None:
        code, message = "BlobDoesNotUseCustomerSpecifiedEncryption", "The blob is not encrypted with customer keys."
    elif given is None:
        code = "BlobUsesCustomerSpecifiedEncryption"
        message = "The blob is encrypted with customer specified encryption, but it was not provided in the request."
    else:
        code = "BlobCustomerSpecifiedEncryptionMismatch"
        message = "The given customer specified encryption does not match the encryption used to encrypt the blob."
    raise StoreError(409, code, message)


def key_headers(key_sha256, request=True):
    kind = "request-server-encrypted" if request else "server-encrypted"
    return {f"x-ms-{kind}": "true", **({ENCRYPTION + "key-sha256": key_sha256} if key_sha256 else {})}


def read_tags(text):
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
    except ValueError:
        pairs = [("", "")]
    tags = dict(pairs)
    allowed = re.compile(r"[A-Za-z0-9 +\-./:=_]*")
    sizes = all(1 <= len(n) <= 128 and len(v) <= 256 for n, v in pairs)
    if len(pairs) > 10 or len(tags) != len(pairs) or not sizes:
        raise StoreError(400, "InvalidTag", "The tags specified are invalid.")
    if not all(allowed.fullmatch(word) for pair in pairs for word in pair):
        raise StoreError(400, "InvalidTag", "The tags specified contain characters that are not allowed.")
    return tags


def read_tier(text, version):
    if text not in TIERS or (text == "Cold" and (version or "") < COLD_SINCE):
        raise invalid_header("x-ms-access-tier", text)
    return text


def read_until(text, now):
    try:
        until = calendar.timegm(parsedate_to_datetime(text).utctimetuple())
    except (TypeError, ValueError):
        until = 0
    if until <= now or "GMT" not in text:
        raise invalid_header(IMMUTABLE_DATE, text)
    return until


class Immutability:
    """A retention until a time, unlocked or locked, and a legal hold."""

    def __init__(self):
        self.until = None
        self.mode = None
        self.hold = False

    def set_policy(self, request, now):
        until = read_until(request.header(IMMUTABLE_DATE, ""), now)
        mode = request.header(IMMUTABLE_MODE, "unlocked").lower()
        if mode not in ("unlocked", "locked"):
            raise invalid_header(IMMUTABLE_MODE, mode)
        if self.mode == "locked" and (mode != "locked" or until < self.until):
            raise StoreError(409, "BlobImmutableDueToPolicy", "A locked policy can only be extended.")
        self.until, self.mode = until, mode

    def set_hold(self, request):
        text = request.header(LEGAL_HOLD, "").lower()
        if text not in ("true", "false"):
            raise invalid_header(LEGAL_HOLD, text)
        self.hold = text == "true"

    def check(self, now):
        if self.hold:
            raise StoreError(
                409,
                "BlobImmutableDueToLegalHold",
                "This operation is not permitted as the blob is immutable due to one or more legal holds.",
            )
        if self.until is not None and self.until > now:
            raise StoreError(
                409, "BlobImmutableDueToPolicy", "This operation is not permitted as the blob is immutable due to a policy."
            )

    def headers(self):
        made = {LEGAL_HOLD: "true"} if self.hold else {}
        if self.until is not None:
            made |= {IMMUTABLE_DATE: formatdate(self.until, usegmt=True), IMMUTABLE_MODE: self.mode}
        return made


class Attributes:
    """What Put Blob and Put Block List fix for the blob."""

    def __init__(self, request, grant, container, now):
        self.version = check_version(request)
        self.headers = {answer: request.header(n) for n, answer in PLAIN_HEADERS.items() if n in request.by_name}
        self.headers.setdefault("Content-Type", "application/octet-stream")
        self.metadata = self._metadata(request)
        tier = request.header("x-ms-access-tier")
        self.tier = tier and read_tier(tier, self.version)
        self.tags = {}
        if "x-ms-tags" in request.by_name:
            grant.need("t")
            self.tags = read_tags(request.header("x-ms-tags"))
        self.key_sha256 = customer_key(request)
        self.immutability = self._immutability(request, grant, container, now)
        self.md5 = None
        if "x-ms-blob-content-md5" in request.by_name:
            self.md5 = decoded(request.header("x-ms-blob-content-md5"), 16)
            if self.md5 is None:
                raise StoreError(400, "InvalidMd5", "The MD5 value specified in the request is invalid.")

    def _metadata(self, request):
        """Names keep their case; they are identifiers of C#."""
        found = {}
        for name, value in request.headers:
            if name.lower().startswith(METADATA):
                key = name[len(METADATA) :]
                if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", key) or key.lower() in map(str.lower, found):
                    raise StoreError(400, "InvalidMetadata", "The specified metadata has characters that are not permitted.")
                found[key] = value
        if sum(len(n) + len(v) for n, v in found.items()) > METADATA_MAX:
            raise StoreError(400, "MetadataTooLarge", "The metadata specified exceeds the maximum permissible limit.")
        return found

    def _immutability(self, request, grant, container, now):
        made = Immutability()
        asked = [n for n in (IMMUTABLE_DATE, IMMUTABLE_MODE, LEGAL_HOLD) if n in request.by_name]
        if asked:
            check_immutable_container(container)
            grant.need("i")
        if IMMUTABLE_DATE in asked or IMMUTABLE_MODE in asked:
            made.set_policy(request, now)
        if LEGAL_HOLD in asked:
            made.set_hold(request)
        return made

    def describe(self):
        return {
            "headers": self.headers,
            "metadata": self.metadata,
            "tier": self.tier,
            "tags": self.tags,
            "key_sha256": self.key_sha256,
            "md5": self.md5 and base64.b64encode(self.md5).decode(),
            "immutability": self.immutability.headers(),
        }


def check_immutable_container(container):
    if not container.immutable:
        raise StoreError(
            409,
            "ImmutableStorageNotEnabled",
            "Immutable storage with versioning is not enabled for this container.",
        )
