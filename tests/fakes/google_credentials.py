"""Google's sources of access tokens as they answer a client: the token endpoint (assertions of service accounts, refresh
tokens of users), the metadata server, the Security Token Service and impersonation. Assertions are verified; tokens carry
what they are good for (issued.py), so that gcs_server knows them too."""

import base64
import binascii
import json
import re
import time
from urllib.parse import parse_qs, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from fakes.issued import GOOGLE, bearer, find_bearer
from fakes.wire import Response

METADATA = "/computeMetadata/v1/"
ACCOUNT = METADATA + "instance/service-accounts/"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
SCOPE = "https://www.googleapis.com/auth/"
PLATFORM = SCOPE + "cloud-platform"
SKEW_SECONDS = 300
LIFETIME_MAX = 3600
DEFAULTS = {
    "audiences": [],  # of assertions, besides the token endpoint's own addresses
    "account": "machine@project.iam.gserviceaccount.com",  # of the metadata server; null: none
    "account_scopes": [SCOPE + "devstorage.read_write"],
    "flavor": "Google",  # what the metadata server calls itself; null: nothing
    "users": {"refresh-token": {"client_id": "client", "client_secret": "client-secret", "scopes": [PLATFORM]}},
    "pools": {"//iam.googleapis.com/pool/provider": ["subject-token"]},  # audience -> subject tokens
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "clients": {},  # client_id -> client_secret of token exchanges that identify themselves
    "impersonable": ["target@project.iam.gserviceaccount.com"],
    "subject": {"token": "subject-token", "headers": {}, "field": None},  # what GET /subject-token gives
}


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status = status
        self.code = code


def decode(text, what):
    """base64url without padding, as JWS has it."""
    if not re.fullmatch("[A-Za-z0-9_-]+", text):
        raise Refused(400, "invalid_grant", f"Invalid JWT: the {what} isn't base64url without padding")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise Refused(400, "invalid_grant", f"Invalid JWT: the {what} isn't base64url") from None


class GoogleServices:
    def __init__(self, server):
        self.server = server
        self.keys = {}  # email -> {key id: public key}
        self.issued_log = []

    @property
    def settings(self):
        return self.server.settings["google"]

    def operation_of(self, request, body):
        path, method = request.path, request.method
        if path.startswith(ACCOUNT) and path.endswith("/token"):
            return "MetadataToken"
        if path.startswith("/computeMetadata/") or (path == "/" and "metadata-flavor" in request.by_name):
            return "Metadata"
        if path == "/subject-token":
            return "SubjectToken"
        if method != "POST":
            return None
        if path == "/token":
            refresh = b"grant_type=refresh_token" in body
            return "RefreshAccessToken" if refresh else "ExchangeAssertion"
        if path == "/v1/token":
            return "ExchangeToken"
        return "GenerateAccessToken" if path.endswith(":generateAccessToken") else None

    def answer(self, operation, request, body):
        handler = {
            "MetadataToken": self._metadata_token,
            "Metadata": self._metadata,
            "SubjectToken": self._subject_token,
            "ExchangeAssertion": self._assertion,
            "RefreshAccessToken": self._refresh,
            "ExchangeToken": self._exchange,
            "GenerateAccessToken": self._generate,
        }[operation]
        try:
            return handler(request, body)
        except Refused as e:
            return self.error(operation, e.status, e.code, str(e))

    def error(self, operation, status, code, message):
        if operation.startswith("Metadata") or operation == "SubjectToken":
            response = Response(status, message or code, self._flavor(operation), "text/html; charset=UTF-8")
        elif operation == "GenerateAccessToken":
            document = {"error": {"code": status, "message": message, "status": code}}
            response = Response(status, json.dumps(document), content_type="application/json; charset=UTF-8")
        else:
            document = {"error": code, **({"error_description": message} if message else {})}
            response = Response(status, json.dumps(document), content_type="application/json; charset=utf-8")
        response.code = code
        return response

    def describe(self):
        return [dict(entry) for entry in self.issued_log]

    def _issue(self, operation, account, scopes, seconds=None):
        """(token, seconds that it's good for)"""
        lifetime = self.server.settings["lifetime_seconds"]
        lifetime = lifetime if seconds is None else min(seconds, lifetime)
        number, until = len(self.issued_log) + 1, self.server.now() + lifetime
        token = bearer(GOOGLE, number=number, until=until, account=account, scopes=sorted(scopes))
        line = {"number": number, "operation": operation, "account": account, "scopes": sorted(scopes)}
        self.issued_log.append({**line, "until": until, "token": token})
        return token, lifetime

    def _granted(self, operation, account, scopes, **more):
        token, lifetime = self._issue(operation, account, scopes)
        return _json({"access_token": token, "expires_in": lifetime, "token_type": "Bearer", **more})

    # -- service accounts

    def make_service_account(self, body):
        """A new key for `email`, as the console gives it away; the private half is nowhere else. `token_uri`: where it
        says tokens are to be had."""
        email = body.get("email", "backup@project.iam.gserviceaccount.com")
        key = rsa.generate_private_key(public_exponent=65537, key_size=body.get("bits", 2048))
        known = self.keys.setdefault(email, {})
        key_id = f"{len(known) + 1:040x}"
        known[key_id] = key.public_key()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": key_id,
            "private_key": pem.decode(),
            "client_email": email,
            "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": body["token_uri"],
            "universe_domain": "googleapis.com",
        }

    def remove_service_account(self, body):
        """The account, or one key of it."""
        if "key_id" in body:
            del self.keys[body["email"]][body["key_id"]]
        else:
            del self.keys[body["email"]]

    def _assertion(self, request, body):
        form = _form(request, body)
        if form.get("grant_type") != JWT_BEARER:
            raise Refused(400, "unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type')}")
        parts = form.get("assertion", "").split(".")
        if len(parts) != 3:
            raise Refused(400, "invalid_grant", "Bad Request")
        try:
            header, claims = (json.loads(decode(part, "JSON")) for part in parts[:2])
        except ValueError:
            raise Refused(400, "invalid_grant", "Invalid JWT: not JSON") from None
        if not isinstance(header, dict) or not isinstance(claims, dict):
            raise Refused(400, "invalid_grant", "Invalid JWT: not JSON objects")
        if (header.get("alg"), header.get("typ", "JWT")) != ("RS256", "JWT"):
            raise Refused(400, "invalid_grant", "Invalid JWT: alg isn't RS256, or typ isn't JWT")
        account = claims.get("iss")
        if account not in self.keys:
            raise Refused(400, "invalid_grant", "Invalid grant: account not found")
        self._verify(self.keys[account], header.get("kid"), ".".join(parts[:2]).encode(), decode(parts[2], "signature"))
        own = [f"{scheme}://{request.header('host')}/token" for scheme in ("http", "https")]
        if claims.get("aud") not in own + self.settings["audiences"]:
            raise Refused(400, "invalid_grant", "Invalid JWT: Failed audience check.")
        self._check_times(claims)
        scopes = str(claims.get("scope", "")).split()
        if not scopes or not all(scope.startswith(SCOPE) for scope in scopes):
            raise Refused(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return self._granted("ExchangeAssertion", account, scopes)

    def _verify(self, keys, key_id, signed, signature):
        for key in [keys[key_id]] if key_id in keys else keys.values() if key_id is None else []:
            try:
                return key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
            except InvalidSignature:
                pass
        raise Refused(400, "invalid_grant", "Invalid JWT Signature.")

    def _check_times(self, claims):
        begin, end, now = claims.get("iat"), claims.get("exp"), self.server.now()
        whole = isinstance(begin, int) and isinstance(end, int)
        if not whole or not begin < end <= begin + LIFETIME_MAX or begin > now + SKEW_SECONDS or end <= now:
            raise Refused(
                400,
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your "
                "iat and exp values in the JWT claim.",
            )

    # -- users

    def _refresh(self, request, body):
        form = _form(request, body)
        user = self.settings["users"].get(form.get("refresh_token"))
        clients = {u["client_id"]: u["client_secret"] for u in self.settings["users"].values()}
        if form.get("client_id") not in clients:
            raise Refused(401, "invalid_client", "The OAuth client was not found.")
        if form.get("client_secret") != clients[form["client_id"]]:
            raise Refused(401, "invalid_client", "Unauthorized")
        if user is None or user["client_id"] != form["client_id"]:
            raise Refused(400, "invalid_grant", "Token has been expired or revoked.")
        scopes = form["scope"].split() if "scope" in form else user["scopes"]
        return self._granted("RefreshAccessToken", "user", scopes, scope=" ".join(scopes))

    # -- the metadata server

    def _flavor(self, operation="Metadata"):
        flavor = self.settings["flavor"]
        if operation == "SubjectToken" or flavor is None:
            return {}
        return {"Metadata-Flavor": flavor, "Server": "Metadata Server for VM"}

    def _check_flavor(self, request):
        if "x-forwarded-for" in request.by_name:
            raise Refused(403, "Forbidden", "came through a proxy")
        if request.header("metadata-flavor") != "Google" and request.path != "/":
            raise Refused(403, "Forbidden", "Your client does not have permission: Missing Metadata-Flavor:Google header.")

    def _metadata_token(self, request, body):
        self._check_flavor(request)
        account = self.settings["account"]
        if account is None or request.path not in (f"{ACCOUNT}default/token", f"{ACCOUNT}{account}/token"):
            raise Refused(404, "NotFound", "The requested URL was not found on this server.")
        scopes = self.settings["account_scopes"]
        if "scopes" in request.query:  # may ask for less, not for more
            scopes = sorted(set(request.query["scopes"].split(",")) & set(scopes)) or scopes
        response = self._granted("MetadataToken", account, scopes)
        response.headers |= self._flavor()
        return response

    def _metadata(self, request, body):
        self._check_flavor(request)
        account = self.settings["account"]
        known = {
            "/": "computeMetadata/\n",
            METADATA + "instance": "attributes/\n",
            METADATA + "project/project-id": "project",
            METADATA + "universe/universe-domain": "googleapis.com",
        }
        if account is not None:
            known[ACCOUNT + "default/email"] = account
            known[ACCOUNT] = json.dumps({"default": {"email": account, "scopes": self.settings["account_scopes"]}})
        if request.path not in known:
            raise Refused(404, "NotFound", "The requested URL was not found on this server.")
        return Response(200, known[request.path], self._flavor(), "application/text")

    # -- federation

    def _subject_token(self, request, body):
        subject = self.settings["subject"]
        if any(request.header(name) != value for name, value in subject["headers"].items()):
            raise Refused(403, "Forbidden", "a header is missing")
        if subject["field"] is None:
            return Response(200, subject["token"], content_type="text/plain")
        return _json({subject["field"]: subject["token"]})

    def _exchange(self, request, body):
        form = _form(request, body)
        self._check_client(request)
        if form.get("grant_type") != TOKEN_EXCHANGE:
            raise Refused(400, "unsupported_grant_type", "The grant type isn't that of a token exchange.")
        if form.get("requested_token_type") != ACCESS_TOKEN:
            raise Refused(400, "invalid_request", "Invalid requested_token_type.")
        if form.get("audience") not in self.settings["pools"]:
            raise Refused(400, "invalid_target", 'The target service indicated by the "audience" parameters is invalid.')
        if form.get("subject_token_type") != self.settings["subject_token_type"]:
            raise Refused(400, "invalid_request", "Invalid value for \"subject_token_type\".")
        if form.get("subject_token") not in self.settings["pools"][form["audience"]]:
            raise Refused(400, "invalid_grant", "The ID Token or SAML assertion in the subject_token isn't good.")
        scopes = form.get("scope", "").split()
        if not scopes:
            raise Refused(400, "invalid_scope", "Invalid scopes: none")
        return self._granted("ExchangeToken", "federated", scopes, issued_token_type=ACCESS_TOKEN)

    def _check_client(self, request):
        kind, _, text = request.header("authorization", "").partition(" ")
        if not kind and not self.settings["clients"]:
            return
        try:
            name, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name, secret = "", ""
        if kind.lower() != "basic" or self.settings["clients"].get(unquote(name)) != unquote(secret):
            raise Refused(401, "invalid_client", "The client isn't known, or its secret is another.")

    def _generate(self, request, body):
        """Another account's token for a token that may act as it."""
        kind, _, token = request.header("authorization", "").partition(" ")
        facts = find_bearer(GOOGLE, token) if kind.lower() == "bearer" else None
        if facts is None or facts["until"] <= self.server.now():
            raise Refused(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if not {PLATFORM, SCOPE + "iam"} & set(facts["scopes"]):
            raise Refused(403, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
        account = re.fullmatch("/v1/projects/-/serviceAccounts/([^/]+):generateAccessToken", request.path)
        if not account or account.group(1) not in self.settings["impersonable"]:
            what = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
            raise Refused(403, "PERMISSION_DENIED", what)
        try:
            asked = json.loads(body)
            scopes, lifetime = asked["scope"], re.fullmatch(r"(\d+)s", asked.get("lifetime", "3600s"))
            seconds = int(lifetime.group(1))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refused(400, "INVALID_ARGUMENT", "Request contains an invalid argument.") from None
        if not scopes or not isinstance(scopes, list) or not 0 < seconds <= 43200:
            raise Refused(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
        token, lifetime = self._issue("GenerateAccessToken", account.group(1), scopes, seconds)
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.server.now() + lifetime))
        return _json({"accessToken": token, "expireTime": until})


def _form(request, body):
    if not request.header("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Refused(400, "invalid_request", "Bad Request")
    try:
        return {n: v[0] for n, v in parse_qs(body.decode(), strict_parsing=True, keep_blank_values=True).items()}
    except ValueError:
        raise Refused(400, "invalid_request", "Bad Request") from None


def _json(fields):
    return Response(200, json.dumps(fields), content_type="application/json; charset=UTF-8")
