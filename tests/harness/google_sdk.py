"""Someone else's client: Google's in node (peers/google.js), against the fake.

    client = google_sdk.client(fake.http, service_account=credentials.service_account())     # or token=, or neither
    client.put("name", b"...", {"preconditionOpts": {"ifGenerationMatch": 0}})
    client.file("name").setMetadata({...})                                                   # any method of the client's
"""

from harness.node import Peer

# where assertions of this version go to, as they say themselves; google.js sends them to the account's token_uri
AUDIENCE = "https://www.googleapis.com/oauth2/v4/token"


class GoogleError(Exception):
    """`status` and `code` (the reason) as the client has them; status None: no answer came."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.status = error.get("status")
        self.code = error.get("code")


_peer = Peer("google.js", GoogleError)


def client(url, service_account=None, token=None, bucket="bucket", retry=False):
    how = {"url": url, "service_account": service_account, "token": token, "retry": retry}
    return Client({name: value for name, value in how.items() if value}, bucket)


class _Methods:
    """Each attribute is a method of the client's for this thing."""

    def __init__(self, request):
        self._request = request

    def __getattr__(self, method):
        return lambda *args: _peer.ask({**self._request, "method": method, "args": args})


class Client:
    def __init__(self, how, bucket):
        self.how = how
        self.name = bucket

    @property
    def bucket(self):
        return _Methods({"how": self.how, "bucket": self.name})

    def file(self, name, generation=None):
        more = {"generation": generation} if generation is not None else {}
        return _Methods({"how": self.how, "bucket": self.name, "file": name, **more})

    def put(self, name, body, **options):
        """In one request; gives the resource."""
        return self.file(name).save(body, {"resumable": False, **options})

    def write(self, name, body, **options):
        """By a resumable upload; gives the resource."""
        return self.file(name).write(body, options)

    def get(self, name, **options):
        return self.file(name).read(options)

    def sha256(self, name):
        """(hexadecimal digest, size) of the content as it is read back."""
        read = self.file(name).digest({})
        return read["sha256"], read["size"]

    def head(self, name):
        """The resource, or None."""
        try:
            return self.file(name).metadata()
        except GoogleError as e:
            if e.status == 404:
                return None
            raise

    def names(self, **options):
        return [item["name"] for item in self.bucket.list(options)]

    def delete(self, name, **options):
        self.file(name).remove(options)
