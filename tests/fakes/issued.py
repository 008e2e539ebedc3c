"""Temporary credentials that the fakes agree on without talking: AWS's secret and token follow from the number, a bearer
token says itself what it is."""

import base64
import hashlib
import json
import re

from fakes.sigv4 import Key

PREFIX = "ASIAFAKE"
AZURE = "eyJ-fake-azure."  # what bearer tokens of Azure begin with
GOOGLE = "ya29.c."  # and those of Google


def _word(kind, number):
    return hashlib.sha256(f"{kind} {number}".encode()).hexdigest()[:40]


def issued(number):
    return Key(f"{PREFIX}{number:08}", _word("secret", number), f"token/{number}/+{_word('token', number)}==")


def find(access_key):
    found = re.fullmatch(PREFIX + r"(\d{8})", access_key)
    return issued(int(found.group(1))) if found else None


def bearer(begin, **facts):
    """A bearer token that carries `facts`; `until` among them is its end, in seconds."""
    text = base64.urlsafe_b64encode(json.dumps(facts, sort_keys=True).encode()).decode().rstrip("=")
    return f"{begin}{text}.{_word('bearer', text)}"


def find_bearer(begin, token):
    """Its facts; None for what none of us made."""
    text, _, word = token.removeprefix(begin).partition(".")
    if not token.startswith(begin) or word != _word("bearer", text):
        return None
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
