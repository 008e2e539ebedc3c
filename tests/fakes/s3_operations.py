"""S3's operations on objects and uploads: no faults here, only the rules that S3 itself has.

Each takes a Call and gives a Response or raises S3Error. s3_exchange.py finds the operation (operation_of), verifies
the signature and receives the body before.
"""

import hashlib
import xml.etree.ElementTree as ElementTree
from email.utils import formatdate

from fakes import checksums
from fakes.objects import byte_range
from fakes.s3_checks import SSE, SSE_C, Attributes, S3Error, check_customer_key, customer_key, invalid
from fakes.s3_objects import Object, Part, Upload
from fakes.s3_xml import document
from fakes.wire import Response

PUBLIC_OPERATIONS = {
    ("PUT", True, "uploadId"): "UploadPart",
    ("PUT", True, None): "PutObject",
    ("GET", True, "uploadId"): "ListParts",
    ("GET", True, None): "GetObject",
    ("HEAD", True, None): "HeadObject",
    ("DELETE", True, "uploadId"): "AbortMultipartUpload",
    ("DELETE", True, None): "DeleteObject",
    ("POST", True, "uploads"): "CreateMultipartUpload",
    ("POST", True, "uploadId"): "CompleteMultipartUpload",
    ("HEAD", False, None): "HeadBucket",
    ("GET", False, "list-type"): "ListObjectsV2",
    ("GET", False, "uploads"): "ListMultipartUploads",
}
SUBRESOURCES = ("uploads", "uploadId", "list-type")
OTHERS = (
    "acl",
    "tagging",
    "retention",
    "legal-hold",
    "versions",
    "versioning",
    "location",
    "policy",
    "object-lock",
    "lifecycle",
    "cors",
    "attributes",
    "torrent",
    "restore",
    "select",
    "delete",
    "encryption",
)


def operation_of(request, bucket, key):
    """The API's name of what is asked, or None."""
    sub = next((s for s in SUBRESOURCES if s in request.query), None)
    if bucket is None or any(o in request.query for o in OTHERS) or "x-amz-copy-source" in request.by_name:
        return None
    if sub == "uploadId" and request.method == "PUT" and "partNumber" not in request.query:
        return None
    return PUBLIC_OPERATIONS.get((request.method, bool(key), sub))


class Call:
    """One request with everything checked that doesn't need the store."""

    def __init__(self, request, bucket, key, blob, expected, now):
        self.request = request
        self.bucket = bucket  # a Bucket
        self.key = key
        self.blob = blob
        self.expected = expected
        self.now = now

    @property
    def query(self):
        return self.request.query

    def header(self, name, default=None):
        return self.request.header(name, default)

    def number(self, name, default, low, high):
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isdigit() or not low <= int(text) <= high:
            raise invalid(
                f"Provided {name} not an integer or within integer range",
                "InvalidArgument",
                ArgumentName=name,
                ArgumentValue=text,
            )
        return int(text)


def _etag(blob, attributes):
    """The MD5, except where S3 says that it isn't."""
    return (blob.md5 if attributes.etag_is_md5 else hashlib.md5(b"not the MD5" + blob.md5).digest()).hex()


class Operations:
    def __init__(self, store, settings):
        self.store = store
        self.settings = settings

    # -- conditions

    def _check_absent(self, call):
        """If-None-Match: * of a write."""
        wanted = call.header("if-none-match")
        if wanted is None or self.settings.conditional_put == "ignored":
            return
        if self.settings.conditional_put == "refused" or wanted != "*":
            raise S3Error(
                501,
                "NotImplemented",
                "A header you provided implies functionality that is not implemented",
                Header="If-None-Match",
            )
        if call.key in call.bucket.objects:
            raise S3Error(
                412,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
                Condition="If-None-Match",
            )

    def _object(self, call):
        made = call.bucket.objects.get(call.key)
        if made is None:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.", Key=call.key)
        wanted = call.header("if-match")
        if wanted is not None and wanted.strip('"') not in ("*", made.etag):
            raise S3Error(
                412,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
                Condition="If-Match",
            )
        return made

    def _upload(self, call):
        upload = self.store.uploads.get(call.query["uploadId"])
        if upload is None or (upload.bucket, upload.key) != (call.bucket.name, call.key):
            raise S3Error(
                404,
                "NoSuchUpload",
                "The specified upload does not exist. The upload ID may be invalid, or the "
                "upload may have been aborted or completed.",
                UploadId=call.query["uploadId"],
            )
        return upload

    def _answer_headers(self, attributes):
        names = [n for n in attributes.headers if n.startswith((SSE, SSE_C))]
        return {n: attributes.headers[n] for n in names}

    # -- whole objects

    def put_object(self, call):
        attributes = Attributes(call.request, call.bucket, self.settings, call.now)
        attributes.check_digest_given(call.expected)
        if call.blob.size > self.settings.max_put_size:
            raise invalid("Your proposed upload exceeds the maximum allowed size", "EntityTooLarge")
        self._check_absent(call)
        values = {n: checksums.text(d) for n, d in call.blob.digests.items() if n == call.expected.algorithm}
        made = Object(
            call.bucket.name,
            call.key,
            [call.blob],
            _etag(call.blob, attributes),
            attributes,
            values,
            "FULL_OBJECT" if values else None,
        )
        self.store.put(made)
        headers = {"ETag": f'"{made.etag}"', **self._answer_headers(attributes)}
        headers |= {f"x-amz-checksum-{n}": v for n, v in values.items()}
        if values:
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
        if made.version:
            headers["x-amz-version-id"] = made.version
        return Response(200, headers=headers)

    def _object_headers(self, call, made):
        check_customer_key(call.request, self.settings, made.attributes)
        headers = {
            "Last-Modified": formatdate(int(made.modified), usegmt=True),
            "ETag": f'"{made.etag}"',
            "Accept-Ranges": "bytes",
        }
        headers |= {n: v for n, v in made.attributes.headers.items() if n != "x-amz-tagging"}
        if made.version:
            headers["x-amz-version-id"] = made.version
        return headers

    def _add_checksums(self, call, made, headers):
        if call.header("x-amz-checksum-mode", "").upper() == "ENABLED" and made.checksums:
            headers |= {f"x-amz-checksum-{n}": v for n, v in made.checksums.items()}
            headers["x-amz-checksum-type"] = made.checksum_type

    def head_object(self, call):
        made = self._object(call)
        headers = self._object_headers(call, made)
        self._add_checksums(call, made, headers)
        return Response(200, (made.size, iter(())), headers)

    def get_object(self, call):
        made = self._object(call)
        headers = self._object_headers(call, made)
        try:
            part = byte_range(call.header("range"), made.size)
        except ValueError:
            raise S3Error(
                416, "InvalidRange", "The requested range is not satisfiable", ActualObjectSize=str(made.size)
            ) from None
        if part is None:
            self._add_checksums(call, made, headers)
            return Response(200, (made.size, made.pieces(0, made.size)), headers)
        start, size = part
        headers["Content-Range"] = f"bytes {start}-{start + size - 1}/{made.size}"
        return Response(206, (size, made.pieces(start, size)), headers)

    def delete_object(self, call):
        if "versionId" in call.query:
            return self._delete_version(call, call.query["versionId"])
        self.store.hide(call.bucket, call.key)
        headers = {"x-amz-delete-marker": "true", "x-amz-version-id": f"version-{self.store.number():06}"}
        return Response(204, headers=headers if call.bucket.object_lock else {})

    def _delete_version(self, call, version):
        bucket = call.bucket
        for made in [*bucket.older, *bucket.objects.values()]:
            if made.key == call.key and made.version == version:
                if made.attributes.locked(call.now):
                    raise S3Error(403, "AccessDenied", "Access Denied because object protected by object lock.")
                if made in bucket.older:
                    bucket.older.remove(made)
                else:
                    del bucket.objects[call.key]
                made.drop()
        return Response(204, headers={"x-amz-version-id": version})

    def head_bucket(self, call):
        return Response(200, headers={"x-amz-bucket-region": call.bucket.region})

    # -- multipart

    def create_multipart_upload(self, call):
        attributes = Attributes(call.request, call.bucket, self.settings, call.now)
        upload = Upload(self.store.number(), call.bucket.name, call.key, attributes)
        self.store.uploads[upload.id] = upload
        headers = self._answer_headers(attributes)
        if attributes.algorithm:
            headers["x-amz-checksum-algorithm"] = attributes.algorithm.upper()
            headers["x-amz-checksum-type"] = attributes.checksum_type
        return _xml(
            "InitiateMultipartUploadResult",
            [("Bucket", call.bucket.name), ("Key", call.key), ("UploadId", upload.id)],
            headers,
        )

    def upload_part(self, call):
        number = call.number("partNumber", None, 1, 10000)
        upload = self._upload(call)
        attributes = upload.attributes
        check_customer_key(call.request, self.settings, attributes, part=True)
        attributes.check_digest_given(call.expected)
        if attributes.algorithm and call.expected.algorithm != attributes.algorithm:
            raise invalid(
                f"Checksum Type mismatch occurred, expected checksum Type: {attributes.algorithm}, actual checksum "
                f"Type: {call.expected.algorithm or 'null'}"
            )
        if call.blob.size > self.settings.max_part_size:
            raise invalid(
                "Your proposed upload exceeds the maximum allowed size",
                "EntityTooLarge",
                ProposedSize=str(call.blob.size),
            )
        given = call.expected.algorithm
        digests = {given: call.blob.digests[given]} if given else {}
        part = Part(number, call.blob, _etag(call.blob, attributes), digests)
        before = upload.parts.get(number)
        upload.parts[number] = part
        if before is not None:
            before.blob.drop()
        headers = {"ETag": f'"{part.etag}"', **self._answer_headers(attributes)}
        headers |= {f"x-amz-checksum-{n}": checksums.text(d) for n, d in digests.items()}
        return Response(200, headers=headers)

    def abort_multipart_upload(self, call):
        self.store.forget_upload(self._upload(call))
        return Response(204)

    def complete_multipart_upload(self, call):
        upload = self._upload(call)
        attributes = upload.attributes
        if customer_key(call.request, self.settings) not in (None, attributes.customer_key_md5):
            raise invalid("The provided encryption parameters did not match the ones used originally.")
        parts = self._wanted_parts(call, upload)
        size = sum(part.blob.size for part in parts)
        announced = call.header("x-amz-mp-object-size")
        if announced is not None and announced != str(size):
            raise invalid(
                f"The provided 'x-amz-mp-object-size' header value {announced} does not match what was computed: {size}"
            )
        value = self._whole_checksum(call, attributes, parts)
        self._check_absent(call)
        md5s = b"".join(bytes.fromhex(part.etag) for part in parts)
        etag = f"{hashlib.md5(md5s).hexdigest()}-{len(parts)}"
        values = {attributes.algorithm: value} if value else {}
        made = Object(
            call.bucket.name,
            call.key,
            [part.blob for part in parts],
            etag,
            attributes,
            values,
            attributes.checksum_type,
            len(parts),
        )
        self.store.put(made)
        self.store.forget_upload(upload, keep={part.number for part in parts})
        fields = [
            ("Location", f"http://{call.header('host')}/{call.bucket.name}/{call.key}"),
            ("Bucket", call.bucket.name),
            ("Key", call.key),
            ("ETag", f'"{etag}"'),
        ]
        if value:
            fields += [(checksums.XML_NAMES[attributes.algorithm], value), ("ChecksumType", attributes.checksum_type)]
        headers = self._answer_headers(attributes)
        if made.version:
            headers["x-amz-version-id"] = made.version
        return _xml("CompleteMultipartUploadResult", fields, headers)

    def _wanted_parts(self, call, upload):
        """The parts that the body lists, all of them as they were uploaded."""
        parts, last = [], 0
        for number, fields in _listed_parts(call.blob.read(0, call.blob.size)):
            if number <= last:
                raise invalid(
                    "The list of parts was not in ascending order. Parts must be ordered by part number.",
                    "InvalidPartOrder",
                )
            last = number
            part = upload.parts.get(number)
            if (
                part is None
                or fields.get("ETag", "").strip('"') != part.etag
                or not self._checksum_listed(fields, upload, part)
            ):
                raise invalid(
                    "One or more of the specified parts could not be found. The part may not have been uploaded, or "
                    "the specified entity tag may not match the part's entity tag.",
                    "InvalidPart",
                    UploadId=upload.id,
                    PartNumber=str(number),
                    ETag=fields.get("ETag", ""),
                )
            parts.append(part)
        for part in parts[:-1]:
            if part.blob.size < self.settings.min_part_size:
                raise invalid(
                    "Your proposed upload is smaller than the minimum allowed size",
                    "EntityTooSmall",
                    ProposedSize=str(part.blob.size),
                    MinSizeAllowed=str(self.settings.min_part_size),
                    PartNumber=str(part.number),
                    ETag=part.etag,
                )
        if self.settings.equal_parts and len({part.blob.size for part in parts[:-1]}) > 1:
            raise invalid("All non-trailing parts must have the same length.", "InvalidPart")
        if len(parts) > self.settings.max_parts:
            raise invalid("Part number must be an integer between 1 and 10000, inclusive", "InvalidArgument")
        return parts

    def _checksum_listed(self, fields, upload, part):
        algorithm = upload.attributes.algorithm
        for name, tag in checksums.XML_NAMES.items():
            if tag in fields and fields[tag] != checksums.text(part.digests.get(name, b"")):
                return False
        composite = upload.attributes.checksum_type == "COMPOSITE"
        if composite and checksums.XML_NAMES[algorithm] not in fields:
            raise invalid(
                f"The upload was created using a {algorithm} checksum. The complete request must include the checksum "
                f"for each part. It was missing for part {part.number} in the request."
            )
        return True

    def _whole_checksum(self, call, attributes, parts):
        kind = call.header("x-amz-checksum-type")
        if self.settings.checksums == "ignored":
            return None
        if kind is not None and kind != attributes.checksum_type:
            raise invalid(
                f"The upload was created using the {attributes.checksum_type} checksum mode. The complete request must "
                "use the same checksum mode."
            )
        algorithm = attributes.algorithm
        if algorithm is None:
            return None
        digests = [part.digests[algorithm] for part in parts]
        if attributes.checksum_type == "COMPOSITE":
            value = checksums.composite(algorithm, digests)
        else:
            value = checksums.full_object(algorithm, [(d, part.blob.size) for d, part in zip(digests, parts)])
        given = call.expected.algorithm
        if given is not None and (given != algorithm or call.expected.text not in (value, value.partition("-")[0])):
            raise invalid(f"The {given.upper()} you specified did not match the calculated checksum.", "BadDigest")
        return value


def _listed_parts(body):
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        root = None
    listed = []
    for part in root if root is not None and _local(root.tag) == "CompleteMultipartUpload" else ():
        fields = {_local(field.tag): (field.text or "").strip() for field in part}
        if _local(part.tag) != "Part" or not fields.get("PartNumber", "").isdigit() or "ETag" not in fields:
            listed = []
            break
        listed.append((int(fields["PartNumber"]), fields))
    if not listed:
        raise invalid(
            "The XML you provided was not well-formed or did not validate against our published schema", "MalformedXML"
        )
    return listed


def _local(tag):
    return tag.rpartition("}")[2]


def _xml(root, fields, headers=()):
    return Response(200, document(root, fields), headers, "application/xml")


def owner_fields(bucket):
    return [("ID", bucket.owner), ("DisplayName", "owner")]
