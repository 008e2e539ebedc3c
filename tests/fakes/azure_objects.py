"""What the fake Azure holds: containers with committed blobs, and by name the blocks that wait for their list."""

import time

from fakes.objects import Content, Store


class Block:
    def __init__(self, id, blob):
        self.id = id
        self.blob = blob
        self.size = blob.size


class Uncommitted:
    """The blocks of one name, in the order of their coming; ids are as in the query, base64."""

    def __init__(self, bucket, key, key_sha256):
        self.bucket = bucket
        self.key = key
        self.key_sha256 = key_sha256
        self.blocks = {}
        self.began = time.time()

    def drop(self, keep=()):
        for block in self.blocks.values():
            if block not in keep:
                block.blob.drop()

    def describe(self):
        return {
            "bucket": self.bucket,
            "key": self.key,
            "blocks": [{"id": block.id, "size": block.size} for block in self.blocks.values()],
        }


class BlockBlob(Content):
    """A committed blob. `blocks` None: it was put in one piece."""

    def __init__(self, bucket, key, blobs, etag, attributes, blocks=None):
        super().__init__(bucket, key, blobs)
        self.etag = etag
        self.attributes = attributes
        self.blocks = blocks
        self.created = self.modified
        self.tier_changed = None

    def drop(self, keep=()):
        for blob in set(self.blobs) - set(keep):
            blob.drop()

    def describe(self):
        return {
            "bucket": self.bucket,
            "key": self.key,
            "size": self.size,
            "etag": self.etag,
            "sha256": self.sha256(),
            **self.attributes.describe(),
            "blocks": None if self.blocks is None else [{"id": b.id, "size": b.size} for b in self.blocks],
        }


class Container:
    def __init__(self, account, name, immutable=False, versioning=False):
        self.account = account
        self.name = name
        self.immutable = immutable  # version-level immutability: policies and holds can be set
        self.keeps_older = versioning  # what is written over or deleted
        self.objects = {}
        self.older = []
        self.created = time.time()
        self.etag = None


class AzureStore(Store):
    """Buckets are containers, known by (account, name); uploads are Uncommitted, known by (account, container, name)."""

    def etag(self):
        return f'"0x8D{self.number():013X}"'

    def commit(self, container, made, keep=()):
        """Makes a blob visible in place of the one before, whose blobs in `keep` are part of it; the name's uncommitted
        blocks are gone then."""
        before = container.objects.get(made.key)
        if before is not None:
            made.created = before.created
        if before is not None and container.keeps_older:
            container.older.append(before)
        elif before is not None:
            before.drop(keep)
        container.objects[made.key] = made
        self.forget_blocks(container, made.key, keep)

    def blocks_of(self, container, key):
        return self.uploads.get((container.account, container.name, key))

    def forget_blocks(self, container, key, keep=()):
        pending = self.uploads.pop((container.account, container.name, key), None)
        if pending is not None:
            pending.drop([block for block in pending.blocks.values() if block.blob in keep])
