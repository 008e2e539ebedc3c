"""An Azure store as a test reaches it, Azurite or the fake alike: where it is, its account, and clients that aren't ours."""

from fakes.shared_key import sign
from harness import azure_sdk
from harness.raw_http import send


class AzureEndpoint:
    """`url` is the account's endpoint with the account in its path; `host_url` has it in the host's name."""

    def __init__(self, url, account, key, ca_file=None):
        self.url = url
        self.account = account
        self.key = key
        self.ca_file = ca_file if url.startswith("https:") else None

    @property
    def tls(self):
        return self.ca_file is not None

    @property
    def root_url(self):
        return self.url.rpartition("/")[0]

    @property
    def host_url(self):
        scheme, _, host = self.root_url.partition("://")
        return f"{scheme}://{self.account}.blob.localhost:{host.rpartition(':')[2]}"

    @property
    def connection_string(self):
        return (
            f"DefaultEndpointsProtocol={'https' if self.tls else 'http'};AccountName={self.account};"
            f"AccountKey={self.key};BlobEndpoint={self.url};"
        )

    def client(self, **how):
        """Azure's SDK, with the account's key unless told otherwise (sas=, token=, connection_string=)."""
        how = how or {"account": self.account, "key": self.key}
        return azure_sdk.client(self.url, ca_file=self.ca_file, **how)

    def container(self, name):
        """Makes a container; gives its name."""
        return self.client().make_container(name)

    def sas(self, permissions=None, **options):
        """A signature's text: see azure_sdk.Client.sas."""
        return self.client().sas(permissions, **options)

    def raw(self, method, path, body=b"", headers=(), query="", key=None, signed=True, **options):
        """One request, signed with the account's key: the answer, with `told` from x-ms-error-code. `query` is a
        signature's text that takes the place of signing; signed=False leaves Authorization as `headers` have it."""
        url = self.url + path
        if query:
            url += ("&" if "?" in path else "?") + query
        given = dict(headers).get("Authorization")
        made = sign(method, url, self.account, key or self.key, body, headers, **options)
        if query or not signed:
            del made["authorization"]
            made |= {"authorization": given} if given else {}
        answer = send(method, url, made, body, self.ca_file)
        answer.told = answer.headers.get("x-ms-error-code")
        return answer
