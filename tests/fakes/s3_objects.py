"""What S3 holds: buckets with versions, objects, multipart uploads."""

import os
import time

from fakes.objects import Content, Store


class Part:
    def __init__(self, number, blob, etag, digests):
        self.number = number
        self.blob = blob
        self.etag = etag
        self.digests = digests
        self.time = time.time()


class Upload:
    def __init__(self, number, bucket, key, attributes):
        self.id = f"upload-{number:06}-{os.urandom(12).hex()}"
        self.bucket = bucket
        self.key = key
        self.attributes = attributes
        self.parts = {}
        self.initiated = time.time()

    def drop(self, keep=()):
        for part in self.parts.values():
            if part.number not in keep:
                part.blob.drop()

    def describe(self):
        return {
            "upload_id": self.id,
            "bucket": self.bucket,
            "key": self.key,
            "headers": self.attributes.headers,
            "checksum_algorithm": self.attributes.algorithm,
            "checksum_type": self.attributes.checksum_type,
            "parts": [{"number": p.number, "size": p.blob.size, "etag": p.etag} for _, p in sorted(self.parts.items())],
        }


class Object(Content):
    """An object of S3; checksums by algorithm, in S3's text form."""

    def __init__(self, bucket, key, blobs, etag, attributes, checksums=(), checksum_type=None, parts=None):
        super().__init__(bucket, key, blobs)
        self.etag = etag
        self.attributes = attributes
        self.checksums = dict(checksums)
        self.checksum_type = checksum_type
        self.parts = parts
        self.version = None

    def describe(self):
        return {
            "bucket": self.bucket,
            "key": self.key,
            "size": self.size,
            "etag": self.etag,
            "sha256": self.sha256(),
            "headers": self.attributes.headers,
            "checksums": self.checksums,
            "checksum_type": self.checksum_type,
            "parts": self.parts,
            "version_id": self.version,
        }


class Bucket:
    def __init__(self, name, region, object_lock=False, default_retention=False, owner="123456789012"):
        self.name = name
        self.region = region
        self.object_lock = object_lock or default_retention
        self.default_retention = default_retention
        self.owner = owner
        self.keeps_older = self.object_lock
        self.objects = {}
        self.older = []  # versions that a later write or a delete marker hides (only with Object Lock)


class S3Store(Store):
    def put(self, made):
        super().put(made)
        if self.buckets[made.bucket].object_lock:
            made.version = f"version-{self.number():06}"

    def forget_upload(self, upload, keep=()):
        self.uploads.pop(upload.id, None)
        upload.drop(keep)
