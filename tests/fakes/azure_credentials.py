"""Azure's sources of bearer tokens as they answer a client: a machine's managed identity (IMDS), that of App Service, and
Entra ID's token endpoint for client secrets and workload identities. Tokens carry what they are good for (issued.py), so
that azure_server knows them too."""

import json
import re
from urllib.parse import parse_qs

from fakes.issued import AZURE, bearer
from fakes.wire import Response

IMDS_PATH = "/metadata/identity/oauth2/token"
IMDS_VERSIONS = ("2018-02-01", "2019-08-01", "2021-12-13", "2023-07-01")
APP_SERVICE_VERSION = "2019-08-01"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TRACE = "fa4e0000-0000-0000-0000-000000000000"
DEFAULTS = {
    "identity": "system-client",  # the machine's own; null: it has none
    "user_assigned": ["user-client"],  # client ids of others that it has
    "app_service": {"path": "/msi/token", "header": "identity-secret"},
    "tenant": "tenant",
    "clients": {"client": {"secret": "client-secret", "assertions": ["federated-token"], "expired_assertions": []}},
}


class Refused(Exception):
    """`number`: Entra's, for people who search."""

    def __init__(self, status, code, message, number=None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.number = number


class AzureServices:
    def __init__(self, server):
        self.server = server
        self.issued_log = []

    @property
    def settings(self):
        return self.server.settings["azure"]

    def operation_of(self, request, body):
        if request.path == IMDS_PATH:
            return "AzureImdsToken"
        if request.path == self.settings["app_service"]["path"]:
            return "AppServiceToken"
        if re.fullmatch("/[^/]+/v2.0/.well-known/openid-configuration", request.path):
            return "EntraConfiguration"
        return "EntraToken" if re.fullmatch("/[^/]+/oauth2/v2.0/token", request.path) else None

    def answer(self, operation, request, body):
        handler = {
            "AzureImdsToken": self._imds,
            "AppServiceToken": self._app_service,
            "EntraConfiguration": self._configuration,
            "EntraToken": self._entra,
        }[operation]
        try:
            return handler(request, body)
        except Refused as e:
            return self.error(operation, e.status, e.code, str(e), e.number)

    def error(self, operation, status, code, message, number=None):
        if operation == "AppServiceToken":
            document = {"statusCode": status, "message": message or code, "correlationId": TRACE}
        elif operation == "AzureImdsToken":
            document = {"error": code, "error_description": message}
        else:
            description = f"AADSTS{number}: {message} Trace ID: {TRACE}" if number else message
            document = {"error": code, "error_description": description, "trace_id": TRACE, "correlation_id": TRACE}
            document |= {"error_codes": [number]} if number else {}
        response = _json(document, status)
        response.code = code
        return response

    def describe(self):
        return [dict(entry) for entry in self.issued_log]

    def _issue(self, operation, client, audience):
        """(token, seconds that it's good for, until when)"""
        lifetime = self.server.settings["lifetime_seconds"]
        name, until = f"issued-{len(self.issued_log) + 1}", int(self.server.now()) + lifetime
        self.issued_log.append({"name": name, "operation": operation, "client": client, "until": until})
        return bearer(AZURE, name=name, until=until, audience=audience), lifetime, until

    # -- managed identities

    def _client(self, request):
        asked = request.query.get("client_id")
        if asked is None and self.settings["identity"] is not None:
            return self.settings["identity"]
        if asked is None or asked not in [self.settings["identity"], *self.settings["user_assigned"]]:
            raise Refused(400, "invalid_request", "Identity not found")
        return asked

    def _imds(self, request, body):
        if request.method != "GET":
            raise Refused(405, "method_not_allowed", "GET is")
        if "x-forwarded-for" in request.by_name:
            raise Refused(400, "invalid_request", "came through a proxy")
        if request.header("metadata", "").lower() != "true":
            raise Refused(400, "invalid_request", "Required metadata header not specified")
        if request.query.get("api-version") not in IMDS_VERSIONS:
            raise Refused(400, "bad_request_102", "Required api-version parameter not specified, or not supported")
        resource = self._resource(request)
        client = self._client(request)
        token, lifetime, until = self._issue("AzureImdsToken", client, resource)
        return _json({
            "access_token": token,
            "client_id": client,
            "expires_in": str(lifetime),
            "expires_on": str(until),
            "ext_expires_in": str(lifetime),
            "not_before": str(until - lifetime),
            "resource": resource,
            "token_type": "Bearer",
        })  # fmt: skip

    def _resource(self, request):
        resource = request.query.get("resource")
        if not resource:
            raise Refused(400, "invalid_resource", "AADSTS50001: The application named was not found in the tenant.")
        return resource

    def _app_service(self, request, body):
        if request.header("x-identity-header") != self.settings["app_service"]["header"]:
            raise Refused(401, "Unauthorized", "Invalid identity header")
        if request.query.get("api-version") != APP_SERVICE_VERSION:
            raise Refused(400, "BadRequest", "Unsupported api-version")
        resource = self._resource(request)
        client = self._client(request)
        token, _, until = self._issue("AppServiceToken", client, resource)
        return _json({
            "access_token": token,
            "client_id": client,
            "expires_on": str(until),
            "resource": resource,
            "token_type": "Bearer",
        })  # fmt: skip

    # -- Entra ID

    def _configuration(self, request, body):
        """What Microsoft's own libraries ask before they ask for a token."""
        tenant = request.path.split("/")[1]
        host = f"http{'s' if request.tls else ''}://{request.header('host')}/{tenant}"
        return _json({
            "token_endpoint": f"{host}/oauth2/v2.0/token",
            "authorization_endpoint": f"{host}/oauth2/v2.0/authorize",
            "issuer": f"{host}/v2.0",
            "jwks_uri": f"{host}/discovery/v2.0/keys",
        })  # fmt: skip

    def _entra(self, request, body):
        if request.method != "POST":
            raise Refused(400, "invalid_request", "The request must be a POST.", 900561)
        form = _form(request, body)
        tenant = request.path.split("/")[1]
        if tenant != self.settings["tenant"]:
            raise Refused(400, "invalid_request", f"Tenant '{tenant}' not found.", 90002)
        if form.get("grant_type") != "client_credentials":
            raise Refused(400, "unsupported_grant_type", "The app requested an unsupported grant type.", 70003)
        client = self.settings["clients"].get(form.get("client_id"))
        if client is None:
            raise Refused(400, "unauthorized_client", "Application was not found in the directory.", 700016)
        self._check_client(form, client)
        scope = form.get("scope", "")
        if not scope.endswith("/.default"):
            raise Refused(400, "invalid_scope", "The provided value for scope is not valid.", 1002012)
        token, lifetime, _ = self._issue("EntraToken", form["client_id"], scope.removesuffix("/.default"))
        return _json({"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token})

    def _check_client(self, form, client):
        if "client_assertion" in form:
            if form.get("client_assertion_type") != JWT_BEARER:
                raise Refused(400, "invalid_request", "client_assertion_type is missing or another.", 900144)
            if form["client_assertion"] in client.get("expired_assertions", ()):
                raise Refused(401, "invalid_client", "Client assertion is not within its valid time range.", 700024)
            if form["client_assertion"] not in client.get("assertions", ()):
                raise Refused(401, "invalid_client", "No matching federated identity record found.", 700213)
        elif "client_secret" not in form:
            raise Refused(401, "invalid_client", "The body must contain client_assertion or client_secret.", 7000218)
        elif form["client_secret"] != client.get("secret"):
            raise Refused(401, "invalid_client", "Invalid client secret provided.", 7000215)


def _form(request, body):
    if not request.header("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Refused(400, "invalid_request", "The body must be a form.", 900144)
    try:
        return {n: v[0] for n, v in parse_qs(body.decode(), strict_parsing=True, keep_blank_values=True).items()}
    except ValueError:
        raise Refused(400, "invalid_request", "The body must be a form.", 900144) from None


def _json(fields, status=200):
    return Response(status, json.dumps(fields), content_type="application/json; charset=utf-8")
