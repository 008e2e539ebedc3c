"""HashiCorp Vault's KV v2 and its logins, as far as a client that reads secrets sees them: tokens with leases, renewal,
revocation, sealing, namespaces."""

import json
import os

from fakes.wire import Response


class VaultError(Exception):
    def __init__(self, status, *errors):
        super().__init__(", ".join(errors))
        self.status = status
        self.errors = list(errors)


class Vault:
    def __init__(self, server):
        self.server = server
        self.issued = {}  # token -> until when it lives, until when it may be renewed
        self.revoked = set()

    @property
    def settings(self):
        return self.server.settings["vault"]

    def operation_of(self, request, body):
        path = request.path
        if not path.startswith("/v1/"):
            return None
        if path.startswith("/v1/auth/token/renew-self"):
            return "VaultRenew"
        if path == "/v1/auth/token/lookup-self":
            return "VaultLookup"
        if path.startswith("/v1/auth/") and path.endswith("/login"):
            return "VaultLogin"
        return "VaultRead"

    def answer(self, operation, request, body):
        handler = {"VaultRenew": self._renew, "VaultLookup": self._lookup, "VaultLogin": self._login, "VaultRead": self._read}
        try:
            if self.settings["sealed"]:
                raise VaultError(503, "Vault is sealed")
            if request.header("x-vault-namespace") != self.settings["namespace"]:
                raise VaultError(403, "permission denied")  # another namespace's tokens and mounts are not ours
            return handler[operation](request, body)
        except VaultError as e:
            return self._errors(e.status, e.errors)

    def error(self, operation, status, code, message):
        return self._errors(status, [text for text in (code, message) if text])

    def _errors(self, status, errors):
        response = Response(status, json.dumps({"errors": errors}), content_type="application/json")
        response.code = errors[0] if errors else None
        return response

    def revoke(self, token=None):
        """One token, or all that logins have given."""
        self.revoked |= {token} if token else set(self.issued)

    def describe(self):
        return [{"token": t, "until": u, "max": m, "revoked": t in self.revoked} for t, (u, m) in self.issued.items()]

    def _token(self, request):
        """(token, seconds it has left; 0: for ever)"""
        token = request.header("x-vault-token")
        if token is None:
            raise VaultError(400 if self.settings["namespace"] is None else 403, "missing client token")
        if token in self.revoked:
            raise VaultError(403, "permission denied")
        if token in self.settings["tokens"]:
            return token, self.settings["tokens"][token].get("ttl", 0)
        until, _ = self.issued.get(token, (0, 0))
        left = until - self.server.now()
        if left <= 0:
            raise VaultError(403, "permission denied")
        return token, int(left)

    def _auth(self, token, seconds, renewable):
        fields = {"client_token": token, "accessor": "fake-accessor", "policies": ["default"], "token_policies": ["default"],
                  "metadata": {}, "lease_duration": seconds, "renewable": renewable, "token_type": "service"}  # fmt: skip
        return _json({"request_id": "fake-vault", "lease_id": "", "renewable": False, "lease_duration": 0, "data": None,
                      "wrap_info": None, "warnings": None, "auth": fields})  # fmt: skip

    def _login(self, request, body):
        if request.method not in ("POST", "PUT"):
            raise VaultError(405, "unsupported operation")
        try:
            given = json.loads(body)
        except ValueError:
            raise VaultError(400, "error parsing JSON") from None
        kind = request.path[len("/v1/auth/") : -len("/login")]
        if kind == "approle":
            if self.settings["approle"].get(given.get("role_id")) != given.get("secret_id") or not given.get("secret_id"):
                raise VaultError(400, "invalid role or secret ID")
        elif kind == "kubernetes":
            if self.settings["kubernetes"].get(given.get("role")) != given.get("jwt") or not given.get("jwt"):
                raise VaultError(403, "permission denied")
        else:
            raise VaultError(404, f"no handler for route 'auth/{kind}/login'")
        token, now = f"hvs.{os.urandom(12).hex()}", self.server.now()
        ttl = self.settings["token_ttl"]
        self.issued[token] = (now + ttl, now + self.settings["token_max_ttl"])
        return self._auth(token, ttl, self.settings["renewable"])

    def _renew(self, request, body):
        token, left = self._token(request)
        if request.method not in ("POST", "PUT"):
            raise VaultError(405, "unsupported operation")
        if token not in self.issued or not self.settings["renewable"]:
            raise VaultError(400, "lease is not renewable")
        now, (_, until_max) = self.server.now(), self.issued[token]
        until = min(now + self.settings["token_ttl"], until_max)
        self.issued[token] = (until, until_max)
        return self._auth(token, int(until - now), True)

    def _lookup(self, request, body):
        token, left = self._token(request)
        return _json({"data": {"id": token, "ttl": left, "renewable": token in self.issued and self.settings["renewable"]}})

    def _read(self, request, body):
        self._token(request)
        mount, deleted = self.settings["mount"], self.settings["deleted"]
        begin = f"/v1/{mount}/data/"
        if request.method != "GET":
            raise VaultError(405, "unsupported operation")
        if not request.path.startswith(begin):
            if request.path.startswith(f"/v1/{mount}/"):
                text = "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use."
                return Response(404, json.dumps({"errors": [], "warnings": [text]}), content_type="application/json")
            raise VaultError(403, "preflight capability check returned 403, please ensure client's policies grant access to path")
        path = request.path[len(begin) :]
        secret = self.settings["secrets"].get(path)
        version = request.query.get("version", "0")
        versions = secret if isinstance(secret, list) else [secret] if secret is not None else []
        number = int(version) if version.isdigit() and version != "0" else len(versions)
        if not 1 <= number <= len(versions):
            raise VaultError(404)
        gone = path in deleted
        metadata = {"created_time": "2026-01-01T00:00:00Z", "custom_metadata": None, "destroyed": False, "version": number,
                    "deletion_time": "2026-01-02T00:00:00Z" if gone else ""}  # fmt: skip
        fields = {"request_id": "fake-vault", "lease_id": "", "renewable": False, "lease_duration": 0, "wrap_info": None,
                  "warnings": None, "auth": None,
                  "data": {"data": None if gone else versions[number - 1], "metadata": metadata}}  # fmt: skip
        return Response(404 if gone else 200, json.dumps(fields), content_type="application/json")


def _json(fields):
    return Response(200, json.dumps(fields), content_type="application/json")
