"""The three paged listings of S3. Keys are in the order of their bytes; a page ends at the limit that the request or
the setting `page` gives, whichever is smaller."""

from fakes import checksums
from fakes.s3_checks import S3Error
from fakes.s3_operations import Operations, owner_fields
from fakes.s3_xml import document, iso, url_encoded
from fakes.wire import Response


def _bytes(key):
    return key.encode("utf-8", "surrogateescape")


def _encoder(call):
    kind = call.query.get("encoding-type")
    if kind not in (None, "url"):
        raise S3Error(
            400, "InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type"
        )
    return url_encoded if kind else lambda text: text


class Lists(Operations):
    def list_objects_v2(self, call):
        query, say = call.query, _encoder(call)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        limit = min(call.number("max-keys", 1000, 0, 1 << 31), 1000, self.settings.page)
        token = query.get("continuation-token")
        after = bytes.fromhex(token) if token else _bytes(query.get("start-after", ""))
        entries = {}  # what is listed: a key, or the beginning that several keys share
        for key in sorted(call.bucket.objects, key=_bytes):
            if key.startswith(prefix):
                rest = key[len(prefix) :]
                shared = delimiter and delimiter in rest
                name = prefix + rest.partition(delimiter)[0] + delimiter if shared else key
                if _bytes(name) > after:
                    entries.setdefault(name, None if shared else call.bucket.objects[key])
        page = list(entries.items())[:limit]
        more = len(entries) > len(page) and limit > 0
        fields = [("Name", call.bucket.name), ("Prefix", say(prefix)), ("KeyCount", len(page)), ("MaxKeys", limit)]
        fields += [("Delimiter", say(delimiter))] if delimiter else []
        fields += [("EncodingType", "url")] if "encoding-type" in query else []
        fields += [("ContinuationToken", token)] if token else []
        fields += [("IsTruncated", "true" if more else "false")]
        fields += [("NextContinuationToken", _bytes(page[-1][0]).hex())] if more else []
        for key, made in page:
            if made is None:
                fields.append(("CommonPrefixes", [("Prefix", say(key))]))
            else:
                fields.append(
                    (
                        "Contents",
                        [
                            ("Key", say(key)),
                            ("LastModified", iso(made.modified)),
                            ("ETag", f'"{made.etag}"'),
                            ("Size", made.size),
                            ("StorageClass", made.attributes.storage_class),
                        ],
                    )
                )
        return Response(200, document("ListBucketResult", fields), content_type="application/xml")

    def list_multipart_uploads(self, call):
        query, say = call.query, _encoder(call)
        if "delimiter" in query:
            raise S3Error(501, "NotImplemented", "delimiter is not played here")
        limit = min(call.number("max-uploads", 1000, 1, 1 << 31), 1000, self.settings.page)
        key_marker, id_marker = query.get("key-marker", ""), query.get("upload-id-marker", "")
        prefix = query.get("prefix", "")

        def after_markers(upload):
            if not key_marker:
                return True
            if _bytes(upload.key) != _bytes(key_marker):
                return _bytes(upload.key) > _bytes(key_marker)
            return bool(id_marker) and upload.id > id_marker

        found = [u for u in self.store.uploads.values() if u.bucket == call.bucket.name and u.key.startswith(prefix)]
        found = sorted(filter(after_markers, found), key=lambda u: (_bytes(u.key), u.id))
        page, more = found[:limit], len(found) > limit
        fields = [
            ("Bucket", call.bucket.name),
            ("KeyMarker", say(key_marker)),
            ("UploadIdMarker", id_marker),
            ("Prefix", say(prefix)),
            ("MaxUploads", limit),
        ]
        fields += [("EncodingType", "url")] if "encoding-type" in query else []
        if more:
            fields += [("NextKeyMarker", say(page[-1].key)), ("NextUploadIdMarker", page[-1].id)]
        fields.append(("IsTruncated", "true" if more else "false"))
        owner = owner_fields(call.bucket)
        for upload in page:
            upload_fields = [
                ("Key", say(upload.key)),
                ("UploadId", upload.id),
                ("Initiator", owner),
                ("Owner", owner),
                ("StorageClass", upload.attributes.storage_class),
                ("Initiated", iso(upload.initiated)),
            ]
            fields.append(("Upload", upload_fields + _checksum_fields(upload)))
        return Response(200, document("ListMultipartUploadsResult", fields), content_type="application/xml")

    def list_parts(self, call):
        upload = self._upload(call)
        limit = min(call.number("max-parts", 1000, 1, 1 << 31), 1000, self.settings.page)
        marker = call.number("part-number-marker", 0, 0, 1 << 31)
        found = [part for number, part in sorted(upload.parts.items()) if number > marker]
        page, more = found[:limit], len(found) > limit
        owner = owner_fields(call.bucket)
        fields = [
            ("Bucket", call.bucket.name),
            ("Key", _encoder(call)(upload.key)),
            ("UploadId", upload.id),
            ("Initiator", owner),
            ("Owner", owner),
            ("StorageClass", upload.attributes.storage_class),
            ("PartNumberMarker", marker),
        ]
        if page:
            fields.append(("NextPartNumberMarker", page[-1].number))
        fields += [("MaxParts", limit), ("IsTruncated", "true" if more else "false"), *_checksum_fields(upload)]
        for part in page:
            one = [
                ("PartNumber", part.number),
                ("LastModified", iso(part.time)),
                ("ETag", f'"{part.etag}"'),
                ("Size", part.blob.size),
            ]
            one += [(checksums.XML_NAMES[n], checksums.text(d)) for n, d in part.digests.items()]
            fields.append(("Part", one))
        return Response(200, document("ListPartsResult", fields), content_type="application/xml")


def _checksum_fields(upload):
    if not upload.attributes.algorithm:
        return []
    return [
        ("ChecksumAlgorithm", upload.attributes.algorithm.upper()),
        ("ChecksumType", upload.attributes.checksum_type),
    ]
