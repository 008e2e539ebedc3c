"""What Google Cloud Storage holds: buckets, objects by generation, resumable sessions."""

import base64
import os
import threading
import time
from urllib.parse import quote

from fakes.gcs_checks import GcsError, parse_time, rfc3339
from fakes.objects import Blob, Content, Store

UNIT = 256 * 1024  # what a session keeps of a chunk that broke off is a multiple of that


class Bucket:
    def __init__(
        self,
        name,
        location="US",
        storage_class="STANDARD",
        retention_seconds=0,
        object_retention=False,
        event_based_hold=False,
        versioning=False,
        kms_key=None,
    ):
        self.name = name
        self.location = location
        self.storage_class = storage_class
        self.retention_seconds = retention_seconds
        self.object_retention = object_retention
        self.event_based_hold = event_based_hold
        self.keeps_older = versioning
        self.kms_key = kms_key
        self.created = time.time()
        self.objects = {}
        self.older = []

    def resource(self, root):
        fields = {
            "kind": "storage#bucket",
            "id": self.name,
            "name": self.name,
            "selfLink": f"{root}/storage/v1/b/{self.name}",
            "projectNumber": "123456789012",
            "generation": "1",
            "metageneration": "1",
            "location": self.location,
            "locationType": "multi-region",
            "storageClass": self.storage_class,
            "etag": "CAE=",
            "timeCreated": rfc3339(self.created),
            "updated": rfc3339(self.created),
            "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}},
        }
        if self.retention_seconds:
            fields["retentionPolicy"] = {
                "retentionPeriod": str(self.retention_seconds),
                "effectiveTime": rfc3339(self.created),
                "isLocked": False,
            }
        if self.object_retention:
            fields["objectRetention"] = {"mode": "Enabled"}
        if self.event_based_hold:
            fields["defaultEventBasedHold"] = True
        if self.keeps_older:
            fields["versioning"] = {"enabled": True}
        if self.kms_key:
            fields["encryption"] = {"defaultKmsKeyName": self.kms_key}
        return fields


class GcsObject(Content):
    """One generation. `crc32c` and `md5` are digests of the whole."""

    metageneration = 1

    def __init__(self, bucket, attributes, blob, now):
        super().__init__(bucket.name, attributes.name, [blob])
        self.fields = dict(attributes.fields)
        self.key_sha256 = attributes.key_sha256
        self.crc32c = blob.digests["crc32c"]
        self.md5 = blob.md5
        self.created = now
        self.generation = None
        if bucket.event_based_hold:
            self.fields.setdefault("eventBasedHold", True)
        if bucket.retention_seconds:
            self.fields["retentionExpirationTime"] = rfc3339(now + bucket.retention_seconds)

    def check_may_go(self, now):
        """An object that is held or retained is neither deleted nor written over."""
        where = f"Object '{self.bucket}/{self.key}'"
        for name, words in (("temporaryHold", "Temporary"), ("eventBasedHold", "Event-Based")):
            if self.fields.get(name):
                raise GcsError(
                    403,
                    "objectUnderActiveHold",
                    f"{where} is under active {words} hold and cannot be deleted, overwritten or archived until hold "
                    "is removed.",
                )
        ends = [self.fields.get("retentionExpirationTime"), self.fields.get("retention", {}).get("retainUntilTime")]
        until = max((parse_time(text, "time") for text in ends if text), default=0)
        if until > now:
            raise GcsError(
                403,
                "retentionPolicyNotMet",
                f"{where} is subject to bucket's retention policy or object retention and cannot be deleted or "
                f"overwritten until {rfc3339(until)}",
            )

    def etag(self):
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode()

    def hashes(self):
        return {"crc32c": base64.b64encode(self.crc32c).decode(), "md5": base64.b64encode(self.md5).decode()}

    def resource(self, root, with_hashes=True):
        name = quote(self.key.encode("utf-8", "surrogateescape"), safe="")
        path = f"b/{self.bucket}/o/{name}"
        hashes = self.hashes()
        fields = {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.key}/{self.generation}",
            "selfLink": f"{root}/storage/v1/{path}",
            "mediaLink": f"{root}/download/storage/v1/{path}?generation={self.generation}&alt=media",
            "name": self.key,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "size": str(self.size),
            "md5Hash": hashes["md5"],
            "crc32c": hashes["crc32c"],
            "etag": self.etag(),
            "timeCreated": rfc3339(self.created),
            "updated": rfc3339(self.created),
            "timeStorageClassUpdated": rfc3339(self.created),
            "timeFinalized": rfc3339(self.created),
            **self.fields,
        }
        if self.key_sha256 is not None:
            fields["customerEncryption"] = {"encryptionAlgorithm": "AES256", "keySha256": self.key_sha256}
            if not with_hashes:
                del fields["md5Hash"], fields["crc32c"]
        return fields

    def describe(self):
        return {
            "bucket": self.bucket,
            "key": self.key,
            "size": self.size,
            "sha256": self.sha256(),
            "generation": self.generation,
            "resource": self.resource(""),
        }


class Session:
    """A resumable upload. Whoever sent the newest request owns it; what an older one still brings is dropped."""

    def __init__(self, store, number, bucket, attributes, request):
        self.id = f"AFake{number:04}{base64.urlsafe_b64encode(os.urandom(60)).decode()}"
        self.number = number
        self.bucket = bucket.name
        self.attributes = attributes
        self.query = dict(request.query)
        announced = request.header("x-upload-content-length", "")
        self.announced = int(announced) if announced.isdigit() else None
        self.blob = Blob(store, {"crc32c"})
        self.pending = b""
        self.created = time.time()
        self.owner = None
        self.complete = False
        self.lock = threading.Lock()

    @property
    def key(self):
        return self.attributes.name

    @property
    def kept(self):
        return self.blob.size

    def claim(self, owner):
        with self.lock:
            self.owner = owner
            self.pending = b""

    def write(self, owner, data):
        with self.lock:
            if self.owner is owner:
                self.pending += data
                whole = len(self.pending) - len(self.pending) % UNIT
                self.blob.write(self.pending[:whole])
                self.pending = self.pending[whole:]

    def keep_rest(self, owner):
        """The end of the last chunk, which needn't be whole units."""
        with self.lock:
            if self.owner is owner:
                self.blob.write(self.pending)
                self.pending = b""

    def finish(self):
        if not self.complete:
            self.complete = True
            self.blob.finish()

    def drop(self):
        self.blob.drop()

    def describe(self):
        return {
            "upload_id": self.id,
            "number": self.number,
            "bucket": self.bucket,
            "key": self.key,
            "kept": self.kept,
            "announced": self.announced,
            "fields": self.attributes.fields,
            "conditions": {n: v for n, v in self.query.items() if n.startswith("if")},
        }


class GcsStore(Store):
    """`ended`: the sessions that are no more, by id: their object, or None."""

    def __init__(self, directory, capacity):
        super().__init__(directory, capacity)
        self.ended = {}
        self.generation = 0

    def put(self, made):
        self.generation = made.generation = max(int(time.time() * 1e6), self.generation + 1)
        super().put(made)

    def end_upload(self, session, made=None):
        self.uploads.pop(session.id, None)
        self.ended[session.id] = made
        if made is None:
            session.drop()

    def clear(self):
        super().clear()
        self.ended.clear()
