"""Bearer tokens of Azure: those that a test lists, and those that credential_server issues."""

from fakes import issued

AUDIENCE = "https://storage.azure.com/"
BEGIN = "eyJ-fake-azure."


def issue(number, until, audience=AUDIENCE):
    """What credential_server hands out; azure_server knows it without having talked to it."""
    return issued.bearer(BEGIN, name=f"issued-{number}", until=until, audience=audience)


class Tokens:
    def __init__(self, server):
        self.server = server

    def get(self, token):
        """{name, audience, until, permissions (None: all)} of a token, or None."""
        listed = {text["token"]: text for text in self.server.settings.tokens}
        found = listed.get(token)
        if found is None and self.server.settings.accept_issued:
            found = issued.find_bearer(BEGIN, token)
        if found is None:
            return None
        return {"audience": AUDIENCE, "until": float("inf"), "permissions": None, "name": "listed", **found}
