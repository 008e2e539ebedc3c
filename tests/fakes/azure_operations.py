"""Azure's operations on blobs and blocks: no faults here, only the rules that the service itself has.

Each takes a Call and gives a Response or raises StoreError. azure_exchange.py finds the operation (operation_of),
verifies who asks and receives the body before. Lists are in azure_lists.py.
"""

import base64
import hashlib
import xml.etree.ElementTree as ElementTree
from email.utils import formatdate
from urllib.parse import urlencode

from fakes.azure_checks import (
    IMMUTABLE_DATE,
    Attributes,
    check_customer_key,
    check_immutable_container,
    customer_key,
    decoded,
    invalid_header,
    key_headers,
    read_tags,
    read_tier,
)
from fakes.azure_objects import Block, BlockBlob, Uncommitted
from fakes.exchange import StoreError
from fakes.objects import byte_range
from fakes.s3_xml import document
from fakes.wire import Response

# (method, container or blob, restype, comp)
OPERATIONS = {
    ("PUT", "container", "container", None): "CreateContainer",
    ("GET", "container", "container", None): "GetContainerProperties",
    ("HEAD", "container", "container", None): "GetContainerProperties",
    ("GET", "container", "container", "list"): "ListBlobs",
    ("PUT", "blob", None, None): "PutBlob",
    ("PUT", "blob", None, "block"): "PutBlock",
    ("PUT", "blob", None, "blocklist"): "PutBlockList",
    ("GET", "blob", None, "blocklist"): "GetBlockList",
    ("GET", "blob", None, None): "GetBlob",
    ("HEAD", "blob", None, None): "GetBlobProperties",
    ("DELETE", "blob", None, None): "DeleteBlob",
    ("GET", "blob", None, "tags"): "GetBlobTags",
    ("PUT", "blob", None, "tags"): "SetBlobTags",
    ("PUT", "blob", None, "tier"): "SetBlobTier",
    ("PUT", "blob", None, "immutabilityPolicies"): "SetBlobImmutabilityPolicy",
    ("DELETE", "blob", None, "immutabilityPolicies"): "DeleteBlobImmutabilityPolicy",
    ("PUT", "blob", None, "legalhold"): "SetBlobLegalHold",
}
CONTENT = ("PutBlob", "PutBlock")
ID_MAX = 64
RANGE_DIGEST_MAX = 4 << 20


def operation_of(request, container, blob):
    """The API's name of what is asked, or None."""
    if container is None or "x-ms-copy-source" in request.by_name:
        return None
    kind = "blob" if blob is not None else "container"
    return OPERATIONS.get((request.method, kind, request.query.get("restype"), request.query.get("comp")))


class Call:
    """One request with everything checked that doesn't need the store."""

    def __init__(self, request, grant, container, key, blob, expected, now):
        self.request = request
        self.grant = grant
        self.container = container
        self.key = key
        self.blob = blob
        self.expected = expected
        self.now = now

    @property
    def query(self):
        return self.request.query

    def header(self, name, default=None):
        return self.request.header(name, default)


def _xml(root, fields, headers=()):
    """With the mark of byte order that Azure's documents begin with."""
    return Response(200, b"\xef\xbb\xbf" + document(root, fields, None), headers, "application/xml")


def _date(seconds):
    return formatdate(int(seconds), usegmt=True)


def _not_met(message="The condition specified using HTTP conditional header(s) is not met."):
    return StoreError(412, "ConditionNotMet", message)


class Operations:
    def __init__(self, store, settings):
        self.store = store
        self.settings = settings

    # -- conditions

    def _check_write(self, call):
        """The conditions of a write, and whether this client may overwrite."""
        before = call.container.objects.get(call.key)
        none_match = call.header("if-none-match")
        if none_match is not None and before is not None:
            if none_match == "*":
                if self.settings.exists_status == 412:
                    raise _not_met()
                raise StoreError(409, "BlobAlreadyExists", "The specified blob already exists.")
            if none_match == before.etag:
                raise _not_met()
        if call.header("if-match") is not None and (before is None or call.header("if-match") not in ("*", before.etag)):
            raise _not_met()
        if before is not None:
            if not call.grant.has("w"):
                raise StoreError(403, "UnauthorizedBlobOverwrite", "This request is not authorized to perform blob overwrites.")
            before.attributes.immutability.check(call.now)
        else:
            call.grant.need("w", "c")

    def _found(self, call):
        made = call.container.objects.get(call.key)
        if made is None:
            raise StoreError(404, "BlobNotFound", "The specified blob does not exist.")
        if call.header("if-match", made.etag) not in ("*", made.etag):
            raise _not_met()
        return made

    # -- writing

    def put_blob(self, call):
        kind = call.header("x-ms-blob-type")
        if kind is None:
            raise StoreError(400, "MissingRequiredHeader", "An HTTP header that's mandatory for this request is not "
                             "specified.", HeaderName="x-ms-blob-type")  # fmt: skip
        if kind != "BlockBlob":
            raise invalid_header("x-ms-blob-type", kind)
        attributes = Attributes(call.request, call.grant, call.container, call.now)
        self._check_size(call, self.settings.max_put_size)
        self._check_write(call)
        if attributes.md5 is not None and attributes.md5 != call.blob.md5:
            raise StoreError(400, "Md5Mismatch", "The MD5 value specified in the request did not match with the MD5 "
                             "value calculated by the server.")  # fmt: skip
        attributes.md5 = call.blob.md5
        made = BlockBlob(call.container.name, call.key, [call.blob], self.store.etag(), attributes)
        self.store.commit(call.container, made)
        headers = {"ETag": made.etag, "Last-Modified": _date(made.modified), **key_headers(attributes.key_sha256)}
        headers |= {"Content-MD5": base64.b64encode(call.blob.md5).decode(), **call.expected.answer(call.blob)}
        return Response(201, headers=headers)

    def _check_size(self, call, limit):
        if call.blob.size > limit:
            raise StoreError(413, "RequestBodyTooLarge", "The request body is too large and exceeds the maximum "
                             "permissible limit.", MaxLimit=str(limit))  # fmt: skip

    def put_block(self, call):
        call.grant.need("w", "c")
        name = call.query.get("blockid", "")
        raw = decoded(name)
        if not raw:
            raise StoreError(400, "InvalidQueryParameterValue", "Value for one of the query parameters specified in the "
                             "request URI is invalid.", QueryParameterName="blockid")  # fmt: skip
        if len(raw) > ID_MAX:
            raise StoreError(400, "OutOfRangeInput", "One of the request inputs is out of range.")
        if call.blob.size == 0:
            raise invalid_header("Content-Length", "0")
        self._check_size(call, self.settings.max_block_size)
        pending = self.store.blocks_of(call.container, call.key)
        if pending is None:
            pending = Uncommitted(call.container.name, call.key, customer_key(call.request))
        else:
            check_customer_key(call.request, pending.key_sha256)
        self._check_id(call, pending, name)
        before = pending.blocks.pop(name, None)
        if before is not None:
            before.blob.drop()
        pending.blocks[name] = Block(name, call.blob)
        self.store.uploads[call.container.account, call.container.name, call.key] = pending
        return Response(201, headers={**call.expected.answer(call.blob), **key_headers(pending.key_sha256)})

    def _check_id(self, call, pending, name):
        """One length for all of a blob, committed ones included; so many that wait."""
        committed = call.container.objects.get(call.key)
        known = [*pending.blocks, *(b.id for b in (committed and committed.blocks) or ())]
        if known and len(decoded(known[0])) != len(decoded(name)):
            raise StoreError(400, "InvalidBlobOrBlock", "The specified blob or block content is invalid.")
        if name not in pending.blocks and len(pending.blocks) >= self.settings.max_uncommitted_blocks:
            raise StoreError(409, "BlockCountExceedsLimit", "The uncommitted block count cannot exceed the maximum limit "
                             f"of {self.settings.max_uncommitted_blocks:,} blocks.")  # fmt: skip

    def put_block_list(self, call):
        attributes = Attributes(call.request, call.grant, call.container, call.now)
        self._check_write(call)
        pending = self.store.blocks_of(call.container, call.key)
        wanted = _listed(call.blob.read(0, call.blob.size))
        if len(wanted) > self.settings.max_committed_blocks:
            raise StoreError(400, "BlockListTooLong", "The block list may not contain more than "
                             f"{self.settings.max_committed_blocks:,} blocks.")  # fmt: skip
        blocks = self._wanted_blocks(call, pending, wanted)
        if pending is not None and any(pending.blocks.get(b.id) is b for b in blocks):
            check_customer_key(call.request, pending.key_sha256)
        blobs = [block.blob for block in blocks]
        made = BlockBlob(call.container.name, call.key, blobs, self.store.etag(), attributes, blocks)
        self.store.commit(call.container, made, set(blobs))
        headers = {"ETag": made.etag, "Last-Modified": _date(made.modified), **key_headers(attributes.key_sha256)}
        return Response(201, headers={**headers, **call.expected.answer(call.blob)})

    def _wanted_blocks(self, call, pending, wanted):
        committed = call.container.objects.get(call.key)
        places = {
            "Uncommitted": pending.blocks if pending else {},
            "Committed": {block.id: block for block in (committed and committed.blocks) or ()},
        }
        places["Latest"] = {**places["Committed"], **places["Uncommitted"]}
        try:
            return [places[kind][name] for kind, name in wanted]
        except KeyError:
            raise StoreError(400, "InvalidBlockList", "The specified block list is invalid.") from None

    def delete_blob(self, call):
        call.grant.need("d")
        made = self._found(call)
        made.attributes.immutability.check(call.now)
        self.store.hide(call.container, call.key)
        self.store.forget_blocks(call.container, call.key)
        return Response(202, headers={"x-ms-delete-type-permanent": "true"})

    # -- reading

    def _properties(self, call):
        call.grant.need("r")
        made = self._found(call)
        if call.header("if-none-match") in ("*", made.etag):
            raise StoreError(304, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
        attributes = made.attributes
        check_customer_key(call.request, attributes.key_sha256)
        headers = {
            "Last-Modified": _date(made.modified),
            "ETag": made.etag,
            "Accept-Ranges": "bytes",
            "x-ms-blob-type": "BlockBlob",
            "x-ms-creation-time": _date(made.created),
            "x-ms-lease-status": "unlocked",
            "x-ms-lease-state": "available",
            **attributes.headers,
            **{f"x-ms-meta-{n}": v for n, v in attributes.metadata.items()},
            **attributes.immutability.headers(),
            **key_headers(attributes.key_sha256, request=False),
        }
        if attributes.tags and call.grant.has("t"):
            headers["x-ms-tag-count"] = str(len(attributes.tags))
        return made, headers

    def get_blob_properties(self, call):
        made, headers = self._properties(call)
        headers["x-ms-access-tier"] = made.attributes.tier or "Hot"
        if made.attributes.tier is None:
            headers["x-ms-access-tier-inferred"] = "true"
        if made.tier_changed:
            headers["x-ms-access-tier-change-time"] = _date(made.tier_changed)
        if made.attributes.md5 is not None:
            headers["Content-MD5"] = base64.b64encode(made.attributes.md5).decode()
        return Response(200, (made.size, iter(())), headers)

    def get_blob(self, call):
        made, headers = self._properties(call)
        if made.attributes.tier == "Archive":
            raise StoreError(409, "BlobArchived", "This operation is not permitted on an archived blob.")
        md5 = made.attributes.md5 and base64.b64encode(made.attributes.md5).decode()
        try:
            part = byte_range(call.header("x-ms-range") or call.header("range"), made.size)
        except ValueError:
            raise StoreError(
                416,
                "InvalidRange",
                "The range specified is invalid for the current size of the resource.",
                {"Content-Range": f"bytes */{made.size}"},
            ) from None
        if part is None:
            headers |= {"Content-MD5": md5} if md5 else {}
            return Response(200, (made.size, made.pieces(0, made.size)), headers)
        offset, size = part
        headers |= {"x-ms-blob-content-md5": md5} if md5 else {}
        headers["Content-Range"] = f"bytes {offset}-{offset + size - 1}/{made.size}"
        if call.header("x-ms-range-get-content-md5", "").lower() == "true":
            if size > RANGE_DIGEST_MAX:
                raise StoreError(400, "OutOfRangeInput", "One of the request inputs is out of range.")
            headers["Content-MD5"] = base64.b64encode(hashlib.md5(b"".join(made.pieces(offset, size))).digest()).decode()
        return Response(206, (size, made.pieces(offset, size)), headers)

    # -- what a blob carries

    def get_blob_tags(self, call):
        call.grant.need("t")
        tags = self._found(call).attributes.tags
        return _xml("Tags", [("TagSet", [("Tag", [("Key", n), ("Value", v)]) for n, v in tags.items()])])

    def set_blob_tags(self, call):
        call.grant.need("t")
        root = _parsed(call.blob.read(0, call.blob.size))
        pairs = [(tag.findtext("Key", ""), tag.findtext("Value", "")) for tag in root.iter("Tag")]
        self._found(call).attributes.tags = read_tags(urlencode(pairs))
        return Response(204)

    def set_blob_tier(self, call):
        call.grant.need("w")
        made = self._found(call)
        tier = read_tier(call.header("x-ms-access-tier", ""), call.header("x-ms-version"))
        waits = made.attributes.tier == "Archive" and tier != "Archive"  # it stays there for hours
        if not waits:
            made.attributes.tier, made.tier_changed = tier, call.now
        return Response(202 if waits else 200)

    def set_blob_immutability_policy(self, call):
        check_immutable_container(call.container)
        call.grant.need("i")
        made = self._found(call)
        if call.header(IMMUTABLE_DATE) is None:
            raise StoreError(400, "MissingRequiredHeader", "A header is missing.", HeaderName=IMMUTABLE_DATE)
        made.attributes.immutability.set_policy(call.request, call.now)
        return Response(200, headers=made.attributes.immutability.headers())

    def delete_blob_immutability_policy(self, call):
        check_immutable_container(call.container)
        call.grant.need("i")
        immutability = self._found(call).attributes.immutability
        if immutability.mode == "locked":
            immutability.check(call.now)
        immutability.until = immutability.mode = None
        return Response(200)

    def set_blob_legal_hold(self, call):
        check_immutable_container(call.container)
        call.grant.need("i")
        immutability = self._found(call).attributes.immutability
        immutability.set_hold(call.request)
        return Response(200, headers={"x-ms-legal-hold": str(immutability.hold).lower()})

    # -- containers

    def create_container(self, call):
        made = call.container
        made.etag = self.store.etag()
        self.store.buckets[made.account, made.name] = made
        return Response(201, headers={"ETag": made.etag, "Last-Modified": _date(made.created)})

    def get_container_properties(self, call):
        call.grant.need("r", "l")
        return Response(
            200,
            headers={
                "ETag": call.container.etag,
                "Last-Modified": _date(call.container.created),
                "x-ms-lease-status": "unlocked",
                "x-ms-lease-state": "available",
                "x-ms-has-immutability-policy": "false",
                "x-ms-has-legal-hold": "false",
                "x-ms-immutable-storage-with-versioning-enabled": str(call.container.immutable).lower(),
            },
        )


def _parsed(body):
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise StoreError(400, "InvalidXmlDocument", "XML specified is not syntactically valid.") from None


def _listed(body):
    """[(kind, id)] of a block list."""
    root = _parsed(body)
    if root.tag != "BlockList" or any(child.tag not in ("Latest", "Committed", "Uncommitted") for child in root):
        raise StoreError(400, "InvalidXmlDocument", "XML specified is not a block list.")
    return [(child.tag, (child.text or "").strip()) for child in root]
