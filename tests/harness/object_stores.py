"""Destinations of object stores over the scripted servers, one shape for all types: what the tests of copies say once
(e2e/test_object_stores.py, fault/test_store_kills.py). A store that joins them is a class here and a line in STORES.

    with object_stores.opened("gcs", bm) as store:
        store.destination("place", prefix="x")
        backup = store.backup_of(20 * MIB, "place")
        ...
        store.assert_whole(bm.rows(backup)[0])
"""

import base64
import contextlib
import hashlib
import json
import os

from harness.fakes import FakeAzure, FakeCredentials, FakeGcs, FakeS3

MIB = 1 << 20
SMALL, LARGE = 100, 20 * MIB  # sent in one request, and in the store's way for large objects


def artifact(bm, name, size):
    """A `file` database whose compressed artifact is about that big."""
    return bm.file_database(name, bm.random_file(f"{name}.data", size))


def backup_of(bm, size, *destinations, name="data"):
    database = artifact(bm, name, size)
    bm.assign(database, *destinations)
    return bm.run(database)


def secret_file(bm, name, text):
    """A reference to a file that the programs may read."""
    path = os.path.join(bm.tmp, name)
    with open(path + ".new", "w", opener=lambda p, f: os.open(p, f, 0o644)) as f:
        f.write(text)
    os.rename(path + ".new", path)
    return f"file:{path}"


def everything_shown(bm, *workers):
    """All texts that people get to see: answers of backupctl, tables, logs."""
    names = [row["name"] for row in bm.query("SELECT name FROM destinations")]
    commands = [["destination", "list"], *(["destination", "show", name] for name in names)]
    commands += [["backup", "show", row["id"]] for row in bm.query("SELECT id FROM backups")]
    shown = []
    for words in commands:
        shown += [bm.ctl(*words).stdout, json.dumps(bm.ctl(*words, json=True))]
    for row in bm.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        shown.append(json.dumps(bm.query(f"SELECT * FROM {row['tablename']}"), default=str))
    return shown + [worker.log() for worker in workers]


class ObjectStore:
    """One type of destination and the server behind it. `begin`, `part`, `final`: the operations, as rules name them, that
    start a large upload, bring its bytes and make it visible; `small`: that of a small object."""

    container = "bucket"  # what storage_config calls the place, and the name of the one that is used here

    def __init__(self, bm, type, fake):
        self.bm = bm
        self.type = type
        self.fake = fake

    # -- what each store says

    in_parts = {}  # storage_config by which LARGE goes up in five requests or more, one after the other
    secret = None  # a text that nobody may see
    wrong_secret = None  # another one, refused as `refused` says
    names_requests = True  # messages tell what the store calls the request
    only_parts = ()  # actions that the fake has for `part` alone
    finals = {}  # name -> (rule's action, words of the message, error_code): what no retry helps against

    def credentials(self):
        """The text of the secret."""
        raise NotImplementedError

    def metadata(self, key):
        """The object's, lower-case names, without the store's prefix."""
        raise NotImplementedError

    def any_parts(self, rng):
        """storage_config by which objects above 5 MiB go up in a few requests, of one size or another."""
        return self.in_parts

    def own_faults(self, rng):
        """Actions of rules that only this store has, which pass."""
        return []

    def common_config(self, https):
        return {"endpoint": self.fake.https if https else self.fake.http, **({"ca_file": self.fake.ca_file} if https else {})}

    # -- what tests do

    def destination(self, name="store", *options, https=False, ref=None, place=None, type=None, **config):
        """`ref`: of its credentials; absent: a file with the store's own, "": none."""
        if ref is None:
            ref = secret_file(self.bm, "store-secret", self.credentials())
        whole = {self.container: place or self.container, **self.common_config(https), **config}
        self.bm.ctl("destination", "add", name, "--type", type or self.type, *(["--credentials-ref", ref] if ref else []),
                    "--config", json.dumps({n: v for n, v in whole.items() if v is not None}), *options)  # fmt: skip
        return name

    def backup_of(self, size, *destinations, **options):
        return backup_of(self.bm, size, *(destinations or ["store"]), **options)

    def fails(self, failure, operation, **match):
        """A rule by the name of one of the store's own failures: `denied`, `broken`, `slow_down`."""
        action = {"type": "respond", **getattr(self, failure)}
        return self.fake.rule(action, {"operation": operation, **match})

    def fails_for_ever(self, failure, operation, **match):
        return self.fails(failure, operation, count=0, **match)

    def assert_whole(self, row):
        """The object is there, with the digest that the row has, in its metadata too."""
        assert row["status"] == "completed" and row["resume_state"] is None, row
        assert hashlib.sha256(self.fake.content(row["file_path"])).hexdigest() == row["checksum"], row
        metadata = self.metadata(row["file_path"])
        assert (metadata["sha256"], metadata["backup-id"]) == (row["checksum"], str(row["backup_id"])), metadata
        self.assert_of_one_upload(self.fake.objects()[row["file_path"]])

    def assert_of_one_upload(self, found):
        """What a description tells of how the object was made."""

    def open_uploads(self):
        """What the store still holds of large uploads that weren't ended, and what the driver should have taken away."""
        return self.fake.uploads()

    def begun(self):
        """How many large uploads were begun."""
        return len([e for e in self.fake.log(self.begin) if e["status"] == 200])


class S3Store(ObjectStore):
    types = ("s3", "minio", "spaces", "backblaze")
    usual = "minio"  # the one that most tests use
    small, begin, part, final = "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"
    writes = ["PutObject", "CreateMultipartUpload"]
    versioned = "locked"  # a bucket in which nothing is written over unseen
    upload_operations = ["PutObject", "HeadObject", "CreateMultipartUpload", "UploadPart", "ListParts", "CompleteMultipartUpload"]
    in_parts = {"part_size": "5MiB", "multipart_threshold": "5MiB", "parallel_parts": 1}
    secret = FakeS3.secret_key
    wrong_secret, refused = "not-the-secret-at-all", "SignatureDoesNotMatch"
    denied = {"status": 403, "code": "AccessDenied"}
    broken = {"status": 500, "code": "InternalError"}
    slow_down = {"status": 503, "code": "SlowDown"}
    finals = {
        "denied": (denied, ["403", "AccessDenied", "'bucket'"], "denied"),
        "full": ({"status": 507, "code": "XMinioStorageFull"}, ["507", "XMinioStorageFull"], "no_space"),
        "missing": ({"status": 404, "code": "NoSuchBucket"}, ["NoSuchBucket", "'bucket'"], "not_found"),
        "quota": ({"status": 403, "code": "QuotaExceeded"}, ["QuotaExceeded"], "no_space"),
    }
    needs = "s3:PutObject"  # what `destination test` says is missing when `small` is denied
    own_words = "ETag"  # without which an answer isn't the store's

    @classmethod
    @contextlib.contextmanager
    def opened(cls, bm, type):
        with FakeS3() as fake:
            yield cls(bm, type, fake)

    def credentials(self, secret=None):
        return json.dumps({"access_key_id": FakeS3.access_key, "secret_access_key": secret or self.secret})

    def any_parts(self, rng):
        return {**self.in_parts, "parallel_parts": rng.randrange(1, 5)}

    def common_config(self, https):
        return {"region": "us-east-1", **super().common_config(https)}

    def metadata(self, key):
        headers = self.fake.objects()[key]["headers"]
        return {n.lower().removeprefix("x-amz-meta-"): v for n, v in headers.items() if n.lower().startswith("x-amz-meta-")}


class AzureStore(ObjectStore):
    types = ("azure_blob",)
    usual = "azure_blob"
    container = "container"
    versioned = "versioned"
    small, part, final = "PutBlob", "PutBlock", "PutBlockList"
    begin = "GetBlobProperties"  # blocks need nothing begun: a look at what stands there is the first that is asked
    writes = ["PutBlob", "PutBlock"]
    upload_operations = ["PutBlob", "GetBlobProperties", "PutBlock", "GetBlockList", "PutBlockList"]
    in_parts = {"part_size": "4MiB", "multipart_threshold": "4MiB", "parallel_parts": 1}
    secret = FakeAzure.key
    wrong_secret, refused = "bm90LXRoZS1rZXktYXQtYWxs", "AuthenticationFailed"
    denied = {"status": 403, "code": "AuthorizationPermissionMismatch", "message": "not authorized with this permission"}
    broken = {"status": 500, "code": "InternalError"}
    slow_down = {"status": 503, "code": "ServerBusy"}
    finals = {
        "denied": (denied, ["403", "AuthorizationPermissionMismatch", "'container'"], "denied"),
        "missing": ({"status": 404, "code": "ContainerNotFound"}, ["ContainerNotFound", "'container'"], "not_found"),
        "quota": ({"status": 409, "code": "AccountQuotaExceeded"}, ["AccountQuotaExceeded"], "no_space"),
    }
    needs = "Storage Blob Data Contributor"
    own_words = "x-ms-request-id"

    @classmethod
    @contextlib.contextmanager
    def opened(cls, bm, type):
        with FakeAzure() as fake:
            yield cls(bm, type, fake)

    def credentials(self, secret=None):
        return secret or self.secret

    def any_parts(self, rng):
        return {**self.in_parts, "part_size": rng.choice(["1MiB", "4MiB"]), "parallel_parts": rng.randrange(1, 5)}

    def common_config(self, https):
        return {**super().common_config(https), "endpoint": self.fake.endpoint(https).url}

    def metadata(self, key):
        """Azure's names have no hyphen."""
        found = {n.lower(): v for n, v in self.fake.objects()[key]["metadata"].items()}
        return {**found, "backup-id": found["backupid"]}

    def assert_of_one_upload(self, found):
        """Blocks of one upload, each once: by what their ids begin with."""
        ids = [base64.b64decode(block["id"]) for block in found["blocks"] or ()]
        assert len({id[:16] for id in ids}) <= 1 and len(ids) == len(set(ids)), found

    def open_uploads(self):
        """Azure has no way to take uncommitted blocks away, but to write a blob in their place; it drops them after a
        week. What must not be is that they become part of a blob."""
        return []

    def begun(self):
        """By what the ids of blocks begin with."""
        return len({base64.b64decode(e["part"])[:16] for e in self.fake.log(self.part) if e["status"] == 201})


class GcsStore(ObjectStore):
    """`tokens` is the token endpoint; the credentials are a service account's key whose assertions it verifies."""

    types = ("gcs",)
    usual = "gcs"
    small, begin, part, final = "InsertMultipart", "StartResumable", "UploadChunk", "UploadChunk"
    writes = ["InsertMedia", "InsertMultipart", "StartResumable"]
    versioned = "versioned"
    upload_operations = ["InsertMultipart", "StartResumable", "UploadChunk", "QueryResumable", "GetObject"]
    only_parts = ("keep",)
    in_parts = {"chunk_size": "4MiB", "multipart_threshold": "4MiB"}
    refused = "invalid_grant"
    denied = {"status": 403, "code": "forbidden", "message": "backup@project may not do that"}
    broken = {"status": 500, "code": "backendError", "message": "We encountered an internal error. Please try again."}
    slow_down = {"status": 429, "code": "rateLimitExceeded", "message": "The rate is too high"}
    finals = {
        "denied": (denied, ["403", "forbidden", "may not do that", "'bucket'"], "denied"),
        "missing": ({"status": 404, "code": "notFound", "message": "The specified bucket does not exist."}, ["404", "'bucket'"], "not_found"),
        "no-ssl": ({"status": 403, "code": "sslRequired", "message": "SSL is required"}, ["sslRequired"], "input"),
    }
    needs = "storage.objects.create"
    own_words = "a proxy answered"
    names_requests = False  # what names them is the secret of the session, too

    @classmethod
    @contextlib.contextmanager
    def opened(cls, bm, type):
        with FakeGcs() as fake, FakeCredentials() as tokens:
            store = cls(bm, type, fake)
            store.tokens = tokens
            store.account = tokens.service_account()
            yield store

    @property
    def secret(self):
        """A line of the private key."""
        return self.account["private_key"].splitlines()[3]

    @property
    def wrong_secret(self):
        """A line of a private key that the account doesn't have."""
        if not hasattr(self, "stranger"):
            self.stranger = self.tokens.service_account(email="stranger@project.iam.gserviceaccount.com")
        return self.stranger["private_key"].splitlines()[3]

    def credentials(self, secret=None):
        if secret is None:
            return json.dumps(self.account)
        assert secret == self.wrong_secret
        return json.dumps({**self.account, "private_key": self.stranger["private_key"]})

    def any_parts(self, rng):
        """Also all of it in one request, as it is by default."""
        return {**self.in_parts, "chunk_size": rng.choice(["256KiB", "1MiB", "4MiB", None])}

    def own_faults(self, rng):
        return [{"type": "keep", "bytes": rng.randrange(0, 4 * MIB), "status": rng.choice([None, 503])}] * 3

    def metadata(self, key):
        return {n.lower(): v for n, v in self.fake.objects()[key]["resource"]["metadata"].items()}


STORES = (S3Store, AzureStore, GcsStore)
TYPES = [type for store in STORES for type in store.types]


def opened(type, bm):
    return next(store for store in STORES if type in store.types).opened(bm, type)
