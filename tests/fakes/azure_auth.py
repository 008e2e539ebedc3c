"""Who may do what in the fake Azure: account keys (SharedKey), shared access signatures, bearer tokens. Begin with
authenticate(); the signatures themselves are in shared_key.py."""

import calendar
import hmac
import time
from email.utils import parsedate_to_datetime

from fakes.exchange import StoreError
from fakes.shared_key import account_signature_text, hmac_sha256, pairs, service_signature_text, string_to_sign

SKEW_SECONDS = 15 * 60
BEARER_SINCE = "2017-11-09"
AUDIENCES = ("https://storage.azure.com", "https://storage.azure.com/")
FAILED = (
    "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly "
    "including the signature."
)
PERMITTED = "This request is not authorized to perform this operation using this permission."


class Grant:
    """`kind`: SharedKey, sas or bearer. `name` is what a log may show of it. `permissions` None: all."""

    def __init__(self, kind, name, permissions=None, account=None):
        self.kind = kind
        self.name = name
        self.permissions = permissions
        self.account = account

    def need(self, *any_of):
        if self.permissions is not None and not set(any_of) & set(self.permissions):
            raise StoreError(403, "AuthorizationPermissionMismatch", PERMITTED)

    def has(self, letter):
        return self.permissions is None or letter in self.permissions


def failed(detail, code="AuthenticationFailed", status=403, message=FAILED, **headers):
    return StoreError(status, code, message, headers, AuthenticationErrorDetail=detail)


def authenticate(request, account, resource, server):
    """Gives a Grant or raises StoreError. `resource`: (container, blob), either may be None."""
    text = request.header("authorization")
    if text is None:
        if "sig" in request.query:
            return _signature(request, account, resource, server)
        raise StoreError(
            401,
            "NoAuthenticationInformation",
            "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
            _challenge(server),
        )
    if "sig" in request.query:
        raise failed("both an Authorization header and a signature in the query", "InvalidAuthenticationInfo", 400)
    scheme, _, rest = text.partition(" ")
    if scheme == "SharedKey":
        return _shared_key(request, account, rest, server)
    if scheme == "Bearer":
        return _bearer(request, rest, server)
    raise failed(f"Authentication scheme {scheme} is not supported.", "InvalidAuthenticationInfo", 400)


# -- the account's key


def _shared_key(request, account, text, server):
    named, _, given = text.partition(":")
    keys = server.keys(account)
    if named != account or not keys:
        raise failed(f"no account '{named}' here")
    _check_date(request, server.now())
    headers = {name: request.header(name) for name in request.by_name}
    wanted = string_to_sign(request.method, account, request.raw_path, list(pairs(request.raw_query)), headers)
    if not any(hmac.compare_digest(hmac_sha256(key, wanted), given) for key in keys):
        raise failed(
            f"The MAC signature found in the HTTP request '{given}' is not the same as any computed signature. Server "
            f"used following string to sign: '{wanted}'."
        )
    if account in server.expired:
        raise failed("the key has been taken away")
    return Grant("SharedKey", account)


def _check_date(request, now):
    text = request.header("x-ms-date") or request.header("date")
    try:
        then = calendar.timegm(parsedate_to_datetime(text).utctimetuple())
    except (TypeError, ValueError):
        raise failed("Request date header not specified or not a date") from None
    if abs(then - now) > SKEW_SECONDS:
        raise failed(f"Request date header too {'old' if then < now else 'far ahead'}: '{text}'")


# -- shared access signatures


def _instant(text):
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"):
        try:
            return calendar.timegm(time.strptime(text, form))
        except ValueError:
            continue
    raise failed(f"'{text}' is no time of a signature", "AuthenticationFailed")


def _signature(request, account, resource, server):
    query = dict(pairs(request.raw_query))
    if "sv" not in query or "sp" not in query or "se" not in query:
        raise failed("sv, sp and se are mandatory")
    container, blob = resource
    if "ss" in query:
        wanted = account_signature_text(account, query)
    elif query.get("sr") in ("b", "c"):
        wanted = service_signature_text(account, container, blob, query)
    else:
        raise failed("sr is mandatory. Cannot be empty")
    if not any(hmac.compare_digest(hmac_sha256(key, wanted), query["sig"]) for key in server.keys(account)):
        raise failed(f"Signature did not match. String to sign used was {wanted}")
    _check_validity(request, query, server)
    _check_scope(query, container, blob)
    if query["sig"] in server.expired or account in server.expired:
        raise failed("the key of this signature has been taken away")
    return Grant("sas", "account" if "ss" in query else query["sr"], query["sp"])


def _check_validity(request, query, server):
    now = server.now()
    if now >= _instant(query["se"]) or (query.get("st") and now < _instant(query["st"])):
        raise failed(
            f"Signature not valid in the specified time frame: Start [{query.get('st', '')}] - Expiry [{query['se']}]"
        )
    if query.get("spr") == "https" and not request.tls:
        raise StoreError(403, "AuthorizationProtocolMismatch", "This request is not authorized over this protocol.")
    if query.get("sip") and query["sip"] != "127.0.0.1":
        raise StoreError(403, "AuthorizationSourceIPMismatch", "This request is not authorized from this source IP.")


def _check_scope(query, container, blob):
    """An account's signature names services and kinds of resources; another one container or one blob."""
    if "ss" not in query:
        if query["sr"] == "b" and blob is None:
            raise StoreError(403, "AuthorizationFailure", "This request is not authorized to perform this operation.")
        return
    if "b" not in query["ss"]:
        raise StoreError(403, "AuthorizationServiceMismatch", "Not authorized for this service.")
    kind = "o" if blob is not None else "c" if container is not None else "s"
    if kind not in query.get("srt", ""):
        raise StoreError(403, "AuthorizationResourceTypeMismatch", "Not authorized for this type of resource.")


# -- bearer tokens


def _challenge(server):
    login = f"https://login.microsoftonline.com/{server.settings.tenant}/oauth2/authorize"
    return {"WWW-Authenticate": f"Bearer authorization_uri={login} resource_id=https://storage.azure.com"}


def _bearer(request, token, server):
    def refused(detail):
        challenge = _challenge(server)
        message = "Server failed to authenticate the request. Please refer to the information in the www-authenticate header."
        return StoreError(401, "InvalidAuthenticationInfo", message, challenge, AuthenticationErrorDetail=detail)

    if not request.tls and not server.settings.bearer_over_http:
        raise failed("Authentication scheme Bearer is not supported over HTTP.", "InvalidAuthenticationInfo", 400)
    if request.header("x-ms-version", "") < BEARER_SINCE:
        raise failed(f"Bearer needs x-ms-version {BEARER_SINCE} or later", "InvalidAuthenticationInfo", 400)
    found = server.tokens.get(token)
    if found is None:
        raise refused("Signature validation failed.")
    if found["audience"] not in AUDIENCES:
        raise refused("Audience validation failed.")
    if found["until"] <= server.now() or found["name"] in server.expired:
        raise refused("Lifetime validation failed. The token is expired.")
    return Grant("bearer", found["name"], found["permissions"])
