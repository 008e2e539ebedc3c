"""Bearer tokens of Azure: those that a test lists, and those that credential_server issues."""

from fakes.issued import AZURE, find_bearer

AUDIENCE = "https://storage.azure.com/"


class Tokens:
    def __init__(self, server):
        self.server = server

    def get(self, token):
        """{name, audience, until, permissions (None: all)} of a token, or None."""
        listed = {text["token"]: text for text in self.server.settings.tokens}
        found = listed.get(token)
        if found is None and self.server.settings.accept_issued:
            found = find_bearer(AZURE, token)
        if found is None:
            return None
        return {"audience": AUDIENCE, "until": float("inf"), "permissions": None, "name": "listed", **found}
