"""What a fake store holds. Small bodies in memory, large ones in unlinked files, so that nothing stays behind whatever
ends the process. Callers hold Store.lock while they look and change."""

import hashlib
import os
import re
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


class Content:
    """`blobs` in their order are the content of an object in any of the stores."""

    def __init__(self, bucket, key, blobs):
        self.bucket = bucket
        self.key = key
        self.blobs = blobs
        self.size = sum(blob.size for blob in blobs)
        self.modified = time.time()
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

    def drop(self):
        for blob in self.blobs:
            blob.drop()


def byte_range(text, size):
    """(offset, size) of what a Range header asks of so many bytes; None when it asks for no part of them, or in a way
    that servers ignore. ValueError: not satisfiable."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", text or "")
    if not found or found.group(1, 2) == ("", ""):
        return None
    first, last = found.groups()
    if first == "":
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last or size), size - 1)
    if start > end:
        raise ValueError(text)
    return start, end - start + 1


class Store:
    """Buckets with `objects`, `older` (versions that are hidden by now) and `keeps_older`; uploads that are open, by id,
    with drop()."""

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
        bucket.objects[made.key] = made

    def hide(self, bucket, key):
        before = bucket.objects.pop(key, None)
        if before is None:
            return
        if bucket.keeps_older:
            bucket.older.append(before)
        else:
            before.drop()

    def clear(self):
        for bucket in self.buckets.values():
            for made in [*bucket.objects.values(), *bucket.older]:
                made.drop()
            bucket.objects.clear()
            bucket.older.clear()
        for upload in self.uploads.values():
            upload.drop()
        self.uploads.clear()
