"""What the fake S3 holds: buckets, objects, open uploads. Small bodies in memory, large ones in unlinked files, so that
nothing stays behind whatever ends the process. Callers hold Store.lock while they look and change."""

import hashlib
import os
import tempfile
import threading
import time

from fakes import checksums

IN_MEMORY = 256 * 1024


class Full(Exception):
    pass


class Blob:
    """A body as it arrives, hashed on the way; in the end a thing to be read by offset, from any thread."""

    def __init__(self, store, algorithms):
        self.store = store
        self.size = 0
        self.memory = bytearray()
        self.file = None
        self.hashes = {name: checksums.ALGORITHMS[name]() for name in algorithms}
        self.md5 = hashlib.md5()
        self.digests = {}

    def write(self, data):
        if self.store.used + len(data) > self.store.capacity:
            raise Full
        self.store.used += len(data)
        self.md5.update(data)
        for each in self.hashes.values():
            each.update(data)
        if self.file is None and self.size + len(data) > IN_MEMORY:
            self.file = tempfile.TemporaryFile(dir=self.store.directory, buffering=0)
            self.file.write(self.memory)
            self.memory = bytearray()
        if self.file is None:
            self.memory += data
        else:
            self.file.write(data)
        self.size += len(data)

    def finish(self):
        self.digests = {name: each.digest() for name, each in self.hashes.items()}
        self.md5 = self.md5.digest()
        return self

    def read(self, offset, size):
        if self.file is None:
            return bytes(self.memory[offset : offset + size])
        try:
            return os.pread(self.file.fileno(), size, offset)
        except ValueError:  # dropped meanwhile
            return b""

    def drop(self):
        self.store.used -= self.size
        self.size = 0
        self.memory = bytearray()
        if self.file is not None:
            self.file.close()


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


class Object:
    """`blobs` in their order are its content; checksums by algorithm, in S3's text form."""

    def __init__(self, bucket, key, blobs, etag, attributes, checksums=(), checksum_type=None, parts=None):
        self.bucket = bucket
        self.key = key
        self.blobs = blobs
        self.size = sum(blob.size for blob in blobs)
        self.etag = etag
        self.attributes = attributes
        self.checksums = dict(checksums)
        self.checksum_type = checksum_type
        self.parts = parts
        self.modified = time.time()
        self.version = None
        self.digest = None

    def pieces(self, offset, size):
        for blob in self.blobs:
            if size <= 0:
                return
            if offset >= blob.size:
                offset -= blob.size
                continue
            while size > 0 and offset < blob.size:
                data = blob.read(offset, min(size, blob.size - offset, 256 * 1024))
                if not data:
                    return  # dropped under our feet
                offset += len(data)
                size -= len(data)
                yield data
            offset = 0

    def sha256(self):
        if self.digest is None:
            digest = hashlib.sha256()
            for piece in self.pieces(0, self.size):
                digest.update(piece)
            self.digest = digest.hexdigest()
        return self.digest

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
        self.objects = {}
        self.older = []  # versions that a later write or a delete marker hides (only with Object Lock)


class Store:
    def __init__(self, directory, capacity):
        self.directory = directory
        self.capacity = capacity
        self.used = 0
        self.lock = threading.RLock()
        self.buckets = {}
        self.uploads = {}
        self.numbers = 0

    def number(self):
        self.numbers += 1
        return self.numbers

    def put(self, made):
        """Makes an object visible in place of the one that was."""
        bucket = self.buckets[made.bucket]
        self.hide(bucket, made.key)
        if bucket.object_lock:
            made.version = f"version-{self.number():06}"
        bucket.objects[made.key] = made

    def hide(self, bucket, key):
        before = bucket.objects.pop(key, None)
        if before is None:
            return
        if bucket.object_lock:
            bucket.older.append(before)
        else:
            for blob in before.blobs:
                blob.drop()

    def forget_upload(self, upload, keep=()):
        self.uploads.pop(upload.id, None)
        for part in upload.parts.values():
            if part.number not in keep:
                part.blob.drop()

    def clear(self):
        for bucket in self.buckets.values():
            for made in [*bucket.objects.values(), *bucket.older]:
                for blob in made.blobs:
                    blob.drop()
            bucket.objects.clear()
            bucket.older.clear()
        for upload in list(self.uploads.values()):
            self.forget_upload(upload)
