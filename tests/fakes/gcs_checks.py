"""What Google Cloud Storage demands of a write: the resource's fields, hashes, conditions, customer-supplied keys; and
how it answers when it doesn't get it. Begin with Attributes and Hashes."""

import base64
import binascii
import calendar
import hashlib
import re
import time

from fakes.exchange import StoreError

STORAGE_CLASSES = {
    "STANDARD",
    "NEARLINE",
    "COLDLINE",
    "ARCHIVE",
    "MULTI_REGIONAL",
    "REGIONAL",
    "DURABLE_REDUCED_AVAILABILITY",
}
TEXTS = ("cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "contentType")
WRITABLE = {
    *TEXTS,
    "acl",
    "bucket",
    "contexts",
    "crc32c",
    "customTime",
    "eventBasedHold",
    "md5Hash",
    "metadata",
    "name",
    "retention",
    "storageClass",
    "temporaryHold",
}
METADATA_MAX = 8 * 1024
NAME_MAX = 1024
KEY = "x-goog-encryption-"
CONDITIONS = ("ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch")


class GcsError(StoreError):
    """`code` is the reason; `extra` goes beside it: location, locationType. `plain`: a body of words, not of JSON."""

    def __init__(self, status, code, message, headers=(), plain=False, **extra):
        super().__init__(status, code, message, headers, **extra)
        self.plain = plain


def invalid(message, reason="invalid", **extra):
    return GcsError(400, reason, message, **extra)


def not_met():
    message = "At least one of the pre-conditions you specified did not hold."
    return GcsError(412, "conditionNotMet", message, locationType="header", location="If-Match")


def rfc3339(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03}Z"


def parse_time(text, name):
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", str(text))
    try:
        seconds = calendar.timegm(time.strptime(found.group(1), "%Y-%m-%dT%H:%M:%S")) + float(found.group(2) or 0)
    except (AttributeError, ValueError):
        raise invalid(f"Invalid value for field {name}: {text}") from None
    zone = found.group(3)
    if zone != "Z":
        sign = -1 if zone[0] == "+" else 1
        seconds += sign * (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60)
    return seconds


def check_name(name):
    if not name:
        raise GcsError(400, "required", "Required parameter: name", locationType="parameter", location="name")
    raw = name.encode("utf-8", "surrogateescape")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        raise invalid("The name of the object isn't UTF-8.") from None
    bad = name in (".", "..") or name.startswith(".well-known/acme-challenge/") or "\r" in name or "\n" in name
    if bad or len(raw) > NAME_MAX:
        raise invalid(f"Disallowed name of an object, {len(raw)} bytes long.")


def _decoded(text, size, name):
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raw = b""
    if len(raw) != size:
        raise invalid(f"Invalid {name} value: {text!r}")
    return raw


class Hashes:
    """What the client says of the content: crc32c and md5Hash of the resource, X-Goog-Hash of a request."""

    SIZES = {"crc32c": 4, "md5": 16}

    def __init__(self):
        self.expected = []

    def add_resource(self, resource):
        for field, name in (("crc32c", "crc32c"), ("md5Hash", "md5")):
            if resource.get(field) is not None:
                self.expected.append((name, _decoded(resource[field], self.SIZES[name], field)))
        return self

    def add_header(self, text):
        for item in (text or "").split(","):
            name, equals, value = item.strip().partition("=")
            if not item.strip():
                continue
            if not equals or name not in self.SIZES:
                raise invalid(f"Invalid value in X-Goog-Hash: {item.strip()!r}")
            self.expected.append((name, _decoded(value, self.SIZES[name], f"X-Goog-Hash {name}")))
        return self

    def and_header(self, text):
        """These and one request's, for that request alone."""
        both = Hashes()
        both.expected = list(self.expected)
        return both.add_header(text)

    def names(self):
        return sorted({name for name, _ in self.expected})

    def check(self, crc32c, md5):
        found = {"crc32c": crc32c, "md5": md5}
        words = {"crc32c": "CRC32C", "md5": "MD5 hash"}
        for name, value in self.expected:
            if value != found[name]:
                told, is_so = (base64.b64encode(each).decode() for each in (value, found[name]))
                word = words[name]
                raise invalid(f'Provided {word} "{told}" doesn\'t match calculated {word} "{is_so}".')


def check_conditions(query, made):
    """`made`: the live object, or None."""
    values = {}
    for name in CONDITIONS:
        if name in query:
            if not re.fullmatch(r"-?\d+", query[name]):
                raise invalid(f"Invalid value for {name}", locationType="parameter", location=name)
            values[name] = int(query[name])
    generation, metageneration = (made.generation, made.metageneration) if made else (0, None)
    if values.get("ifGenerationMatch", generation) != generation:
        raise not_met()
    if values.get("ifMetagenerationMatch", metageneration) != metageneration:
        raise not_met()
    if values.get("ifGenerationNotMatch") == generation or (
        metageneration is not None and values.get("ifMetagenerationNotMatch") == metageneration
    ):
        raise GcsError(304, "notModified", "Not Modified")


def customer_key(request, settings):
    """The SHA-256 (text) of the key in this request's headers, or None."""
    given = {n: request.header(KEY + n) for n in ("algorithm", "key", "key-sha256")}
    if all(v is None for v in given.values()):
        return None
    if not request.tls and not settings.customer_keys_over_http:
        raise GcsError(403, "sslRequired", "SSL is required to perform this operation.")
    if given["algorithm"] != "AES256":
        raise invalid("The encryption algorithm isn't AES256.", "customerEncryptionAlgorithmIsInvalid")
    try:
        key = base64.b64decode(given["key"] or "", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise invalid("The encryption key isn't 256 bits in base64.", "customerEncryptionKeyFormatIsInvalid")
    if base64.b64encode(hashlib.sha256(key).digest()).decode() != given["key-sha256"]:
        raise invalid(
            "Missing a SHA256 hash of the encryption key, or it is not base64 encoded, or it does not match the "
            "encryption key.",
            "customerEncryptionKeySha256IsInvalid",
        )
    return given["key-sha256"]


def check_customer_key(request, settings, made):
    """For reading content: the key that it was written with, and no other."""
    given = customer_key(request, settings)
    if given == made.key_sha256:
        return
    if made.key_sha256 is None:
        raise invalid(
            "The target object is not encrypted by a customer-supplied encryption key.",
            "resourceNotEncryptedWithCustomerEncryptionKey",
        )
    if given is None:
        raise invalid(
            "The target object is encrypted by a customer-supplied encryption key.",
            "resourceIsEncryptedWithCustomerEncryptionKey",
        )
    raise invalid("The provided encryption key is incorrect.", "customerEncryptionKeyIsIncorrect")


class Attributes:
    """What a write fixes for the object, from the resource, the parameters and the headers of its (first) request."""

    def __init__(self, resource, request, bucket, settings, content_type=None):
        unknown = set(resource) - WRITABLE
        if unknown:  # Google itself passes over them in silence
            raise invalid(f"Fields that nobody may set: {', '.join(sorted(unknown))}")
        query = request.query
        self.name = resource.get("name")
        if "name" in query:
            if self.name is not None and self.name != query["name"]:
                raise invalid(f"Value '{self.name}' in content does not agree with value '{query['name']}'.")
            self.name = query["name"]
        check_name(self.name)
        if resource.get("bucket", bucket.name) != bucket.name:
            raise invalid(f"Value '{resource['bucket']}' in content does not agree with value '{bucket.name}'.")
        self.fields = {n: resource[n] for n in TEXTS if resource.get(n) is not None}
        self.fields.setdefault("contentType", content_type or "application/octet-stream")
        if self.fields.get("contentEncoding"):
            raise GcsError(501, "notImplemented", "contentEncoding (which decompresses what is read) isn't played here")
        self._metadata(resource)
        self._storage_class(resource, bucket)
        self._times_and_holds(resource, bucket)
        self._encryption(request, query, bucket, settings)
        self.hashes = Hashes().add_resource(resource)

    def _metadata(self, resource):
        metadata = resource.get("metadata")
        if metadata is None:
            return
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise invalid("metadata: a map of texts")
        if sum(len(n.encode()) + len(v.encode()) for n, v in metadata.items()) > METADATA_MAX:
            raise invalid("The metadata of the object is too large.", "metadataTooLarge")
        self.fields["metadata"] = metadata

    def _storage_class(self, resource, bucket):
        self.fields["storageClass"] = resource.get("storageClass", bucket.storage_class)
        if self.fields["storageClass"] not in STORAGE_CLASSES:
            raise invalid(f"Invalid argument: storageClass {self.fields['storageClass']}.")

    def _times_and_holds(self, resource, bucket):
        if resource.get("customTime") is not None:
            self.fields["customTime"] = rfc3339(parse_time(resource["customTime"], "customTime"))
        for name in ("temporaryHold", "eventBasedHold"):
            if resource.get(name) not in (None, True, False):
                raise invalid(f"Invalid value for field {name}")
            if resource.get(name) is not None:
                self.fields[name] = resource[name]
        retention = resource.get("retention")
        if retention is not None:
            if not bucket.object_retention:
                raise invalid("Object retention is not enabled on the bucket.")
            if not isinstance(retention, dict) or retention.get("mode") not in ("Locked", "Unlocked"):
                raise invalid("Invalid value for field retention.mode")
            parse_time(retention.get("retainUntilTime"), "retention.retainUntilTime")
            self.fields["retention"] = retention

    def _encryption(self, request, query, bucket, settings):
        self.key_sha256 = customer_key(request, settings)
        key = query.get("kmsKeyName", bucket.kms_key if self.key_sha256 is None else None)
        if key is None:
            return
        if self.key_sha256 is not None:
            raise invalid("A customer-supplied encryption key and a Cloud KMS key exclude each other.")
        if not re.fullmatch("projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+", key):
            raise invalid(f"Invalid Cloud KMS key name: {key}")
        self.fields["kmsKeyName"] = key + "/cryptoKeyVersions/1"
