"""The listings of Azure: blobs by pages, and a name's blocks. Names are in the order of their bytes; a page ends at the
limit that the request or the setting `page` gives, whichever is smaller."""

import base64
from email.utils import formatdate
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from fakes.azure_operations import Operations
from fakes.exchange import StoreError
from fakes.s3_xml import element
from fakes.wire import Response

PAGE_MAX = 5000
INCLUDES = {
    "snapshots", "metadata", "uncommittedblobs", "copy", "deleted", "tags", "versions", "deletedwithversions",
    "immutabilitypolicy", "legalhold", "permissions",
}  # fmt: skip


def _bytes(key):
    return key.encode("utf-8", "surrogateescape")


def _date(seconds):
    return formatdate(int(seconds), usegmt=True)


def _bad(name, value):
    return StoreError(400, "OutOfRangeQueryParameterValue" if name == "maxresults" else "InvalidQueryParameterValue",
                      "Value for one of the query parameters specified in the request URI is invalid.",
                      QueryParameterName=name, QueryParameterValue=value)  # fmt: skip


class Lists(Operations):
    def list_blobs(self, call):
        call.grant.need("l")
        query = call.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        include = set(filter(None, query.get("include", "").split(",")))
        if include - INCLUDES:
            raise _bad("include", query["include"])
        if "tags" in include:
            call.grant.need("t")
        entries = self._entries(call, prefix, delimiter, "uncommittedblobs" in include)
        after = _after(query.get("marker", ""))
        names = sorted((name for name in entries if _bytes(name) > after), key=_bytes)
        limit = self._limit(query)
        page = names[:limit]
        rest = f"<Prefix>{_text(prefix)}</Prefix>" if prefix else ""
        rest += f"<Marker>{query['marker']}</Marker>" if query.get("marker") else ""
        rest += f"<MaxResults>{query['maxresults']}</MaxResults>" if "maxresults" in query else ""
        rest += f"<Delimiter>{_text(delimiter)}</Delimiter>" if delimiter else ""
        rest += "<Blobs>" + "".join(_entry(name, entries[name], include) for name in page) + "</Blobs>"
        more = len(names) > len(page)
        rest += f"<NextMarker>{_marker(page[-1])}</NextMarker>" if more else "<NextMarker />"
        endpoint = quoteattr(f"http{'s' if call.request.tls else ''}://{call.header('host')}/")
        text = (
            f'\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint={endpoint} '
            f"ContainerName={quoteattr(call.container.name)}>{rest}</EnumerationResults>"
        )
        return Response(200, text.encode("utf-8", "surrogateescape"), content_type="application/xml")

    def _entries(self, call, prefix, delimiter, uncommitted):
        """What is listed: blobs (None: only blocks so far), and beginnings that several names share."""
        found = dict(call.container.objects)
        if uncommitted:
            for account, container, key in self.store.uploads:
                if (account, container) == (call.container.account, call.container.name):
                    found.setdefault(key, None)
        entries = {}
        for key, made in found.items():
            if key.startswith(prefix):
                rest = key[len(prefix) :]
                if delimiter and delimiter in rest:
                    entries[prefix + rest.partition(delimiter)[0] + delimiter] = "prefix"
                else:
                    entries[key] = made
        return entries

    def _limit(self, query):
        text = query.get("maxresults", str(PAGE_MAX))
        if not text.isdigit() or int(text) < 1:
            raise _bad("maxresults", text)
        return min(int(text), PAGE_MAX, self.settings.page)

    def get_block_list(self, call):
        call.grant.need("r")
        kind = call.query.get("blocklisttype", "committed")
        if kind not in ("committed", "uncommitted", "all"):
            raise _bad("blocklisttype", kind)
        made = call.container.objects.get(call.key)
        pending = self.store.blocks_of(call.container, call.key)
        if made is None and pending is None:
            raise StoreError(404, "BlobNotFound", "The specified blob does not exist.")
        lists = ""
        if kind != "uncommitted":
            lists += _blocks("CommittedBlocks", (made and made.blocks) or [])
        if kind != "committed":
            waiting = sorted(pending.blocks.values(), key=lambda block: block.id) if pending else []
            lists += _blocks("UncommittedBlocks", waiting)
        headers = {"x-ms-blob-content-length": str(made.size if made else 0)}
        if made is not None:
            headers |= {"ETag": made.etag, "Last-Modified": _date(made.modified)}
        text = f'\ufeff<?xml version="1.0" encoding="utf-8"?><BlockList>{lists}</BlockList>'
        return Response(200, text, headers, "application/xml")


def _blocks(name, blocks):
    inner = "".join(element("Block", [("Name", block.id), ("Size", block.size)]) for block in blocks)
    return f"<{name}>{inner}</{name}>" if inner else f"<{name} />"


def _text(text):
    return element("x", text)[3:-4]


def _marker(name):
    """Where the next page begins: after this name. Not for clients to read."""
    return "2!" + base64.urlsafe_b64encode(_bytes(name)).decode()


def _after(marker):
    if not marker:
        return b""
    try:
        return base64.urlsafe_b64decode(marker.removeprefix("2!"))
    except ValueError:
        raise _bad("marker", marker) from None


def _name(name):
    """XML has no way to write some characters: such a name comes percent-encoded and says so."""
    if any(ord(c) in (0xFFFE, 0xFFFF) or (ord(c) < 0x20 and c not in "\t\n\r") for c in name):
        return f'<Name Encoded="true">{quote(_bytes(name))}</Name>'
    return element("Name", name)


def _entry(name, made, include):
    if made == "prefix":
        return f"<BlobPrefix>{_name(name)}</BlobPrefix>"
    if made is None:
        inner = element("Properties", [("Content-Length", 0), ("BlobType", "BlockBlob")])
        return f"<Blob>{_name(name)}{inner}</Blob>"
    attributes = made.attributes
    properties = [
        ("Creation-Time", _date(made.created)),
        ("Last-Modified", _date(made.modified)),
        ("Etag", made.etag.strip('"')),
        ("Content-Length", made.size),
        *attributes.headers.items(),
    ]
    if attributes.md5 is not None:
        properties.append(("Content-MD5", base64.b64encode(attributes.md5).decode()))
    properties += [("BlobType", "BlockBlob"), ("AccessTier", attributes.tier or "Hot")]
    if attributes.tier is None:
        properties.append(("AccessTierInferred", "true"))
    properties += [("LeaseStatus", "unlocked"), ("LeaseState", "available"), ("ServerEncrypted", "true")]
    immutability = attributes.immutability
    if "immutabilitypolicy" in include and immutability.until is not None:
        properties.append(("ImmutabilityPolicyUntilDate", _date(immutability.until)))
        properties.append(("ImmutabilityPolicyMode", immutability.mode))
    if "legalhold" in include and immutability.hold:
        properties.append(("LegalHold", "true"))
    inner = _name(name) + element("Properties", properties)
    if "metadata" in include:
        inner += element("Metadata", list(attributes.metadata.items()))
    if "tags" in include and attributes.tags:
        tags = [("Tag", [("Key", n), ("Value", v)]) for n, v in attributes.tags.items()]
        inner += element("Tags", [("TagSet", tags)])
    return f"<Blob>{inner}</Blob>"
