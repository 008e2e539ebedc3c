"""Azure's SharedKey and shared access signatures, computed from a request as it is on the wire.

Written from Azure's description, not from our signer, so that one checks the other. Verification with its errors is in
azure_auth.py; tests sign raw requests with sign() and check them against Azurite.
"""

import base64
import hashlib
import hmac
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

STANDARD_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


def hmac_sha256(key, text):
    """base64; `key` is base64 as well"""
    raw = text.encode("utf-8", "surrogateescape")
    return base64.b64encode(hmac.new(base64.b64decode(key), raw, hashlib.sha256).digest()).decode()


def _standard(headers):
    """The headers that have a line of their own, empty where they are absent."""
    lines = {name: headers.get(name, "") for name in STANDARD_HEADERS}
    if lines["content-length"] == "0":
        lines["content-length"] = ""
    if "x-ms-date" in headers:
        lines["date"] = ""
    return [lines[name] for name in STANDARD_HEADERS]


def _resource(account, path, query_pairs):
    """`path` as on the wire; names and values of the query decoded."""
    values = {}
    for name, value in query_pairs:
        values.setdefault(name.lower(), []).append(value)
    return f"/{account}{path}" + "".join(f"\n{name}:{','.join(sorted(values[name]))}" for name in sorted(values))


def string_to_sign(method, account, path, query_pairs, headers):
    """`headers`: lower-case name -> value"""
    x_ms = [f"{name}:{headers[name].strip()}" for name in sorted(headers) if name.startswith("x-ms-")]
    return "\n".join([method, *_standard(headers), *x_ms, _resource(account, path, query_pairs)])


def pairs(query):
    """Names and values of a query as on the wire, decoded; `+` is no space here."""
    for item in query.split("&") if query else ():
        name, _, value = item.partition("=")
        yield unquote(name), unquote(value)


def sign(method, url, account, key, body=b"", headers=(), version="2021-12-02", now=None):
    """The headers of a signed request, Host included, Content-Length not; those that are None are left out."""
    parts = urlsplit(url)
    made = {"x-ms-date": formatdate(now, usegmt=True), "x-ms-version": version, **dict(headers)}
    made = {name.lower(): value for name, value in made.items() if value is not None}
    signed = {**made, "content-length": str(len(body))}
    text = string_to_sign(method, account, parts.path, list(pairs(parts.query)), signed)
    made["authorization"] = f"SharedKey {account}:{hmac_sha256(key, text)}"
    made.setdefault("host", parts.netloc)
    return made


RESPONSE_FIELDS = ("rscc", "rscd", "rsce", "rscl", "rsct")


def service_signature_text(account, container, blob, query):
    """What the signature of a container (sr=c) or a blob (sr=b) is computed over."""
    resource = f"/blob/{account}/{container}" + (f"/{blob}" if query["sr"] == "b" else "")
    lines = [query.get(n, "") for n in ("sp", "st", "se")] + [resource]
    lines += [query.get(n, "") for n in ("si", "sip", "spr", "sv", "sr")] + [query.get("snapshot", "")]
    if query["sv"] >= "2020-12-06":
        lines.append(query.get("ses", ""))
    return "\n".join(lines + [query.get(n, "") for n in RESPONSE_FIELDS])


def account_signature_text(account, query):
    names = ["sp", "ss", "srt", "st", "se", "sip", "spr", "sv"]
    if query["sv"] >= "2020-12-06":
        names.append("ses")
    return "".join(f"{line}\n" for line in [account, *(query.get(n, "") for n in names)])
