#!/usr/bin/env python3
"""A scripted Azure Blob Storage that checks what it is sent: README.md tells how to start, script and question it.

Here are settings, accounts and tokens; one request's way is in azure_exchange.py, what the service itself does in
azure_operations.py.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if os.path.dirname(os.path.abspath(__file__)) in sys.path:
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))

from fakes.azure_exchange import Exchange  # noqa: E402
from fakes.azure_lists import Lists  # noqa: E402
from fakes.azure_objects import AzureStore, Container  # noqa: E402
from fakes.azure_tokens import Tokens  # noqa: E402
from fakes.service import arguments, configuration, run, scratch_directory  # noqa: E402
from fakes.store_service import Settings, StoreService  # noqa: E402
from fakes.wire import Response  # noqa: E402


class AzureSettings(Settings):
    defaults = {
        "accounts": [{"name": "fakeaccount", "keys": ["ZmFrZSBhY2NvdW50IGtleSB0aGF0IG9wZW5zIG5vdGhpbmcgZWxzZQ=="]}],
        "tokens": [{"token": "fake-token", "name": "fake-token"}],
        "accept_issued": False,
        "containers": [
            {"name": "container"},
            {"name": "other"},
            {"name": "immutable", "immutable": True},
            {"name": "versioned", "versioning": True},
        ],
        "tenant": "00000000-fa4e-fa4e-fa4e-000000000000",
        "host_suffixes": ["blob.localhost", "blob.test"],
        "bearer_over_http": False,
        "exists_status": 409,
        "max_put_size": 5000 << 20,
        "max_block_size": 4000 << 20,
        "max_committed_blocks": 50000,
        "max_uncommitted_blocks": 100000,
        "page": 5000,
    }
    words = {"exists_status": (409, 412)}
    hidden = ("accounts", "tokens")


class FakeAzure(StoreService):
    exchange = Exchange

    def configure(self, settings):
        self.settings = AzureSettings(settings)
        self.store = AzureStore(self.directory, self.settings.capacity)
        self.operations = Lists(self.store, self.settings)
        self.tokens = Tokens(self)
        self.expired = set()
        self._make_containers()

    def _make_containers(self):
        """All of them belong to the first account, unless they name another."""
        for text in self.settings.containers:
            account = text.get("account", self.settings.accounts[0]["name"])
            if (account, text["name"]) not in self.store.buckets:
                made = Container(**{"account": account, **text})
                made.etag = self.store.etag()
                self.store.buckets[account, text["name"]] = made

    def keys(self, account):
        return next((text["keys"] for text in self.settings.accounts if text["name"] == account), [])

    def resource_of(self, request):
        """(account, container, blob): the account from the host when that ends in one of our names, else from the path;
        a container without a name is the account itself."""
        host = request.header("host", "").rpartition(":")[0] or request.header("host", "")
        path = request.path[1:]
        account = next((host[: -len(s) - 1] for s in self.settings.host_suffixes if host.endswith("." + s)), None)
        if account is None:
            account, _, path = path.partition("/")
        container, slash, blob = path.partition("/")
        return account, container or None, blob if slash and blob else None

    # -- the control port

    def content(self, bucket, key):
        account = self.settings.accounts[0]["name"]
        with self.store.lock:
            made = self.store.buckets[account, bucket].objects.get(key)
        if made is None:
            return Response(404, b"")
        return Response(200, (made.size, made.pieces(0, made.size)), content_type="application/octet-stream")

    def change(self, values):
        super().change(values)
        self._make_containers()

    def change_credentials(self, body):
        for text in body.get("add", ()):
            self.settings.tokens = [*self.settings.tokens, text]
        self.expired |= set(body.get("expire", ()))
        self.expired -= set(body.get("unexpire", ()))


def main():
    options = arguments(__doc__.splitlines()[0]).parse_args()
    settings, rules = configuration(options)
    directory = scratch_directory("azure")
    run(FakeAzure(settings, rules, directory), options, directory)


if __name__ == "__main__":
    main()
