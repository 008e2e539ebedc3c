"""The operations of Google Cloud Storage's JSON API: no faults here, only the rules that the service itself has.

Each takes a Call and gives a Response or raises GcsError. gcs_exchange.py finds the operation (operation_of), looks at the
token and receives the body before.
"""

import base64
import json
import re
from urllib.parse import unquote_to_bytes

from fakes.gcs_checks import (
    Attributes,
    GcsError,
    check_conditions,
    check_customer_key,
    customer_key,
    invalid,
)
from fakes.gcs_fields import parse_fields, select
from fakes.gcs_objects import GcsObject, Session
from fakes.objects import Blob, byte_range
from fakes.wire import Response

METADATA_PATH = re.compile(r"(/download)?/storage/v1/b/([^/]+)(/o(?:/([^/]+))?)?")
UPLOAD_PATH = re.compile(r"(?:/resumable)?/upload/storage/v1/b/([^/]+)/o")
UPLOADS = {"media": "InsertMedia", "multipart": "InsertMultipart", "resumable": "StartResumable"}
PART_HEAD_MAX = 1 << 20
JSON = "application/json; charset=UTF-8"


def operation_of(request):
    """(operation or None, bucket, key)"""
    query, method = request.query, request.method
    found = UPLOAD_PATH.fullmatch(request.raw_path)
    if found:
        bucket = _text(found.group(1))
        if "upload_id" in query:
            asks = request.header("content-range", "").replace(" ", "").startswith("bytes*/")
            names = {"PUT": "QueryResumable" if asks else "UploadChunk", "DELETE": "CancelResumable"}
            return names.get(method), bucket, query.get("name")
        return (UPLOADS.get(query.get("uploadType")) if method == "POST" else None), bucket, query.get("name")
    found = METADATA_PATH.fullmatch(request.raw_path)
    if not found:
        return None, None, None
    download, bucket, objects, key = found.groups()
    bucket, key = _text(bucket), _text(key)
    if key is not None:
        reads = download or query.get("alt") == "media"
        return {"GET": "ReadObject" if reads else "GetObject", "DELETE": "DeleteObject"}.get(method), bucket, key
    if download or method != "GET":
        return None, bucket, None
    return ("ListObjects" if objects else "GetBucket"), bucket, None


def _text(raw):
    return None if raw is None else unquote_to_bytes(raw).decode("utf-8", "surrogateescape")


class Call:
    """One request with everything checked that doesn't need the store."""

    def __init__(self, request, bucket, key, now, blob=None):
        self.request = request
        self.bucket = bucket  # a Bucket
        self.key = key
        self.now = now
        self.blob = blob

    @property
    def query(self):
        return self.request.query

    def root(self):
        return f"{'https' if self.request.tls else 'http'}://{self.request.header('host', '127.0.0.1')}"

    def number(self, name, default):
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isdigit():
            raise invalid(f"Invalid value for {name}: {text}", locationType="parameter", location=name)
        return int(text)


class Operations:
    def __init__(self, store, settings):
        self.store = store
        self.settings = settings

    def _json(self, fields, query):
        fields = select(fields, parse_fields(query["fields"])) if "fields" in query else fields
        return Response(200, json.dumps(fields, indent=1), content_type=JSON)

    # -- writes

    def insert_media(self, call):
        return self._insert(call, {}, call.blob, call.request.header("content-type"))

    def insert_multipart(self, call):
        resource, kind, content = self._parts(call)
        try:
            return self._insert(call, resource, content, kind)
        except BaseException:
            content.drop()
            raise

    def _insert(self, call, resource, content, content_type):
        attributes = Attributes(resource, call.request, call.bucket, self.settings, content_type)
        hashes = attributes.hashes.and_header(call.request.header("x-goog-hash"))
        made = self._make(call, attributes, content, hashes, call.query)
        return self._json(made.resource(call.root()), call.query)

    def _make(self, call, attributes, content, hashes, query):
        """The object becomes visible, if all is well."""
        if self.settings.hashes == "checked":
            hashes.check(content.digests["crc32c"], content.md5)
        before = call.bucket.objects.get(attributes.name)
        check_conditions(query, before)
        if before is not None and not call.bucket.keeps_older:
            before.check_may_go(call.now)
        made = GcsObject(call.bucket, attributes, content, call.now)
        self.store.put(made)
        return made

    def _parts(self, call):
        """(resource, type of the content, its Blob) of a multipart/related body."""
        found = re.search(r'boundary="?([^";]+)"?', call.request.header("content-type", ""))
        if not call.request.header("content-type", "").startswith("multipart/related") or not found:
            raise invalid("A multipart upload is of the type multipart/related, with a boundary.", "badContent")
        line, head = b"--" + found.group(1).encode(), call.blob.read(0, PART_HEAD_MAX)
        end = call.blob.read(max(0, call.blob.size - len(line) - 8), len(line) + 8)
        closing = b"\r\n" + line + b"--"
        first, second = _part(head, 0, line), None
        if first is not None:
            second = _part(head, first[2] + len(head[first[2] :].partition(line)[0]), line)
        if first is None or second is None or closing not in end:
            raise invalid("Malformed multipart body.", "badContent")
        resource_end = head.index(b"\r\n" + line, first[2])
        resource = parse_resource(head[first[2] : resource_end], first[1].get("content-type", ""))
        content_end = call.blob.size - len(end) + end.rindex(closing)
        content = Blob(self.store, {"crc32c"})
        offset = second[2]
        while offset < content_end:
            piece = call.blob.read(offset, min(content_end - offset, 1 << 18))
            content.write(piece)
            offset += len(piece)
        return resource, second[1].get("content-type"), content.finish()

    # -- resumable

    def start_resumable(self, call):
        body = call.blob.read(0, call.blob.size)
        resource = parse_resource(body, call.request.header("content-type", "")) if body else {}
        kind = call.request.header("x-upload-content-type")
        attributes = Attributes(resource, call.request, call.bucket, self.settings, kind)
        before = call.bucket.objects.get(attributes.name)
        if self.settings.conditions_at_start:
            check_conditions(call.query, before)
        session = Session(self.store, self.store.number(), call.bucket, attributes, call.request)
        session.created = call.now
        self.store.uploads[session.id] = session
        query = call.request.raw_query
        location = f"{call.root()}{call.request.raw_path}?{query}&upload_id={session.id}"
        headers = {"Location": location, "X-GUploader-UploadID": session.id}
        return Response(200, b"", headers, "text/plain; charset=utf-8")

    def session(self, call):
        """(session, None) when it's open, (None, its object) when it's done; else GcsError."""
        name = call.query["upload_id"]
        session = self.store.uploads.get(name)
        if session is not None and session.bucket == call.bucket.name:
            if call.now - session.created < self.settings.session_seconds:
                return session, None
            self.store.end_upload(session)
        if name not in self.store.ended:
            raise GcsError(404, "notFound", "Upload session not found.", plain=True)
        made = self.store.ended[name]
        if made is None:
            status = self.settings.gone_status
            words = {404: "notFound", 410: "gone", 499: "clientClosedRequest"}
            raise GcsError(status, words[status], "The upload session is no longer available.", plain=True)
        return None, made

    def complete(self, call, session):
        """All bytes are there."""
        session.finish()
        hashes = session.attributes.hashes.and_header(call.request.header("x-goog-hash"))
        made = self._make(call, session.attributes, session.blob, hashes, session.query)
        self.store.end_upload(session, made)
        return self._json(made.resource(call.root()), session.query)

    def finished(self, call, made):
        return self._json(made.resource(call.root()), call.query)

    def incomplete(self, call, session):
        headers = {"Range": f"bytes=0-{session.kept - 1}"} if session.kept else {}
        if call.request.header("x-guploader-no-308", "") == "yes":
            return Response(200, b"", {"X-HTTP-Status-Code-Override": "308", **headers}, "text/plain; charset=utf-8")
        return Response(308, b"", headers, "text/plain; charset=utf-8")

    def query_resumable(self, call):
        session, made = self.session(call)
        if session is None:
            return self.finished(call, made)
        total = re.fullmatch(r"bytes \*/(\*|\d+)", call.request.header("content-range"))
        if not total or call.blob.size:
            raise invalid("Invalid value for Content-Range", plain=True)
        if total.group(1) != "*" and int(total.group(1)) == session.kept:
            self.check_total(session, session.kept)
            return self.complete(call, session)
        return self.incomplete(call, session)

    def check_total(self, session, total):
        if total is not None and session.announced not in (None, total):
            raise invalid(f"X-Upload-Content-Length said {session.announced} bytes, Content-Range {total}.", plain=True)

    def cancel_resumable(self, call):
        session, made = self.session(call)
        if session is not None:
            self.store.end_upload(session)
        return Response(499, b"", content_type="text/plain; charset=utf-8")

    # -- reads and deletes

    def _object(self, call):
        made = call.bucket.objects.get(call.key)
        if "generation" in call.query:
            wanted = call.number("generation", None)
            versions = [made, *(m for m in call.bucket.older if m.key == call.key)]
            made = next((m for m in versions if m is not None and m.generation == wanted), None)
        if made is None:
            raise GcsError(404, "notFound", f"No such object: {call.bucket.name}/{call.key}")
        check_conditions(call.query, made)
        return made

    def get_bucket(self, call):
        return self._json(call.bucket.resource(call.root()), call.query)

    def get_object(self, call):
        made = self._object(call)
        with_key = customer_key(call.request, self.settings) is not None
        if with_key:
            check_customer_key(call.request, self.settings, made)
        response = self._json(made.resource(call.root(), with_key), call.query)
        response.headers["ETag"] = made.etag()
        return response

    def read_object(self, call):
        made = self._object(call)
        check_customer_key(call.request, self.settings, made)
        headers = {
            "Content-Type": made.fields["contentType"],
            "X-Goog-Generation": str(made.generation),
            "X-Goog-Metageneration": str(made.metageneration),
            "X-Goog-Hash": ",".join(f"{n}={v}" for n, v in made.hashes().items()),
            "X-Goog-Storage-Class": made.fields["storageClass"],
            "X-Goog-Stored-Content-Length": str(made.size),
            "X-Goog-Stored-Content-Encoding": "identity",
            "Content-Disposition": "attachment",
            "Accept-Ranges": "bytes",
            "ETag": made.etag(),
        }
        try:
            part = byte_range(call.request.header("range"), made.size)
        except ValueError:
            message = "The requested range cannot be satisfied."
            raise GcsError(416, "requestedRangeNotSatisfiable", message, {"Content-Range": f"bytes */{made.size}"}) from None
        if part is None:
            return Response(200, (made.size, made.pieces(0, made.size)), headers)
        start, size = part
        headers["Content-Range"] = f"bytes {start}-{start + size - 1}/{made.size}"
        return Response(206, (size, made.pieces(start, size)), headers)

    def delete_object(self, call):
        made = self._object(call)
        bucket, live = call.bucket, call.bucket.objects.get(call.key) is made
        if live and bucket.keeps_older and "generation" not in call.query:
            self.store.hide(bucket, call.key)
            return Response(204)
        made.check_may_go(call.now)
        if live:
            del bucket.objects[call.key]
        else:
            bucket.older.remove(made)
        made.drop()
        return Response(204)

    def list_objects(self, call):
        query = call.query
        limit = min(call.number("maxResults", 1000) or 1000, 1000, self.settings.page)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = _after(query.get("pageToken"))
        found = list(call.bucket.objects.values())
        if query.get("versions") == "true":
            found += call.bucket.older
        entries = {}  # by what they are ordered by: the object, or None for a shared beginning
        for made in found:
            rest = made.key[len(prefix) :]
            inside = made.key.startswith(prefix) and query.get("startOffset", "") <= made.key
            if not inside or made.key >= query.get("endOffset", "\U0010ffff"):
                continue
            shared = bool(delimiter) and delimiter in rest
            name = prefix + rest.partition(delimiter)[0] + delimiter if shared else made.key
            place = (_bytes(name), 0 if shared else made.generation)
            if after is None or place > after:
                entries[place] = (name, None if shared else made)
        places = sorted(entries)
        page = places[:limit]
        fields = {"kind": "storage#objects"}
        if len(places) > len(page):
            token = json.dumps([page[-1][0].hex(), page[-1][1]])
            fields["nextPageToken"] = base64.urlsafe_b64encode(token.encode()).decode()
        prefixes = [entries[place][0] for place in page if entries[place][1] is None]
        items = [entries[place][1].resource(call.root(), False) for place in page if entries[place][1] is not None]
        fields |= {"prefixes": prefixes} if prefixes else {}
        fields |= {"items": items} if items else {}
        return self._json(fields, query)


def _bytes(name):
    return name.encode("utf-8", "surrogateescape")


def _after(token):
    if not token:
        return None
    try:
        name, generation = json.loads(base64.urlsafe_b64decode(token))
        return bytes.fromhex(name), generation
    except (ValueError, TypeError):
        raise invalid("Invalid value for pageToken", locationType="parameter", location="pageToken") from None


def _part(head, offset, line):
    """(start, headers, start of its content) of the part whose boundary begins at `offset`."""
    if not head.startswith(line, offset):
        return None
    start = offset + len(line)
    lines, blank, _ = head[start:].partition(b"\r\n\r\n")
    if not blank:
        return None
    headers = {}
    for text in lines.decode("utf-8", "replace").split("\r\n"):
        name, _, value = text.partition(":")
        headers[name.strip().lower()] = value.strip()
    return offset, headers, start + len(lines) + 4


def parse_resource(body, content_type):
    if not content_type.startswith("application/json"):
        raise invalid(f"Unsupported content with type: {content_type}", "badContent")
    try:
        resource = json.loads(body)
    except ValueError:
        resource = None
    if not isinstance(resource, dict):
        raise GcsError(400, "parseError", "Parse Error")
    return resource
