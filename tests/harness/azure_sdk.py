"""Someone else's client: Azure's SDK in node (peers/azure.js), against Azurite or the fake.

    client = azure_sdk.client(url, account, key)           # or sas=, token=, connection_string=
    client.put("container", "name", b"...")
    client.blob("container", "name").commitBlockList(["AAAA"], {"tier": "Cool"})   # any method of the SDK
"""

import datetime
import os

from harness.node import Peer


class AzureError(Exception):
    """`status` and `code` as the SDK has them; status None: no answer came."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.status = error.get("status")
        self.code = error.get("code")


_peer = Peer("azure.js", AzureError)
_ask = _peer.ask


def client(url=None, account=None, key=None, sas=None, token=None, connection_string=None, ca_file=None):
    how = {"url": url, "account": account, "key": key, "sas": sas, "token": token}
    how["connection_string"] = connection_string
    if ca_file:
        with open(ca_file) as f:
            how["ca"] = f.read()
    return Client({name: value for name, value in how.items() if value is not None})


def token(kind, *args, environment=(), ca_file=None, **options):
    """A token for storage by a class of Azure's identity library, which reads only this environment:
    {"token", "expiresOnTimestamp"} or AzureError."""
    if ca_file:
        with open(ca_file) as f:
            options["tlsOptions"] = {"ca": f.read()}
    return _ask({"identity": {"kind": kind, "args": args, "options": options, "environment": dict(environment),
                              "scope": "https://storage.azure.com/.default"}})  # fmt: skip


def in_seconds(seconds):
    """A moment from now on, for the SDK's dates."""
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)


class _Methods:
    """Each attribute is a method of the SDK's client for this thing."""

    def __init__(self, request):
        self._request = request

    def __getattr__(self, method):
        return lambda *args: _ask({**self._request, "method": method, "args": args})


class Client:
    def __init__(self, how):
        self.how = how

    @property
    def service(self):
        return _Methods({"how": self.how})

    def container(self, name):
        return _Methods({"how": self.how, "container": name})

    def blob(self, container, name):
        return _Methods({"how": self.how, "container": container, "blob": name})

    # -- what most tests ask

    def make_container(self, name):
        self.container(name).create()
        return name

    def put(self, container, name, body, **options):
        return self.blob(container, name).upload(body, len(body), options)

    def get(self, container, name):
        return self.blob(container, name).read(0)["body"]

    def head(self, container, name):
        """The blob's properties, or None."""
        try:
            return self.blob(container, name).getProperties()
        except AzureError as e:
            if e.status == 404:
                return None
            raise

    def sha256(self, container, name):
        """(hexadecimal digest, size) of the content as it is read back."""
        read = self.blob(container, name).digest(0)
        return read["sha256"], read["size"]

    def names(self, container, **options):
        return [item["name"] for item in self.container(container).listAll(options)["items"]]

    def delete(self, container, name):
        self.blob(container, name).delete()

    def sas(self, permissions=None, container=None, name=None, seconds=3600, **options):
        """A signature (the query's text): of a blob, of a container, or of the account."""
        target = _Methods({"how": self.how, **({"container": container} if container else {}),
                           **({"blob": name} if name else {})})  # fmt: skip
        permissions = permissions or ("racwd" if name else "racwdl")
        wanted = {"permissions": permissions, "expiresOn": in_seconds(seconds), **options}
        if container is None:
            wanted.setdefault("resourceTypes", "sco")
        return target.sas(wanted)
