"""AWS's sources of credentials as they answer a client: instance metadata (IMDSv2), the container endpoint, STS and
Secrets Manager. Signed requests are verified; what is handed out follows issued.py, so that s3_server knows it too."""

import base64
import hashlib
import json
import os
import time
from urllib.parse import parse_qs

from fakes.issued import issued
from fakes.s3_xml import element
from fakes.sigv4 import AuthError, Key, verify
from fakes.wire import Response

IMDS_TOKEN_PATH = "/latest/api/token"
IMDS_ROLE_PATH = "/latest/meta-data/iam/security-credentials/"
STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


def _iso(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status = status
        self.code = code


class AwsServices:
    def __init__(self, server):
        self.server = server
        self.tokens = {}  # IMDSv2's session tokens: until when each is good
        self.issued_log = []

    @property
    def settings(self):
        return self.server.settings

    def operation_of(self, request, body):
        if request.path == IMDS_TOKEN_PATH:
            return "ImdsToken"
        if request.path.startswith(IMDS_ROLE_PATH) and request.method == "GET":
            return "ImdsRole" if request.path == IMDS_ROLE_PATH else "ImdsCredentials"
        if request.path == self.settings["container"]["path"] and request.method == "GET":
            return "ContainerCredentials"
        if request.method == "POST" and request.path == "/":
            if "x-amz-target" in request.by_name:
                return "GetSecretValue" if request.header("x-amz-target") == "secretsmanager.GetSecretValue" else None
            action = parse_qs(body.decode("utf-8", "replace")).get("Action", [""])[0]
            return action if action in ("AssumeRole", "AssumeRoleWithWebIdentity") else None
        return None

    def answer(self, operation, request, body):
        handler = {
            "ImdsToken": self._imds_token, "ImdsRole": self._imds_role, "ImdsCredentials": self._imds_credentials,
            "ContainerCredentials": self._container, "AssumeRole": self._assume_role,
            "AssumeRoleWithWebIdentity": self._web_identity, "GetSecretValue": self._secret_value,
        }[operation]  # fmt: skip
        try:
            return handler(request, body)
        except Refused as e:
            return self.error(operation, e.status, e.code, str(e))
        except AuthError as e:
            return self.error(operation, 403 if operation != "GetSecretValue" else 400, _auth_code(operation, e), e.message)

    def error(self, operation, status, code, message):
        if operation.startswith("Assume"):
            kind = "Sender" if status < 500 else "Receiver"
            inner = element("Error", [("Type", kind), ("Code", code), ("Message", message)]) + element("RequestId", "fake-sts")
            response = Response(status, f'<ErrorResponse xmlns="{STS_NAMESPACE}">{inner}</ErrorResponse>', content_type="text/xml")
        elif operation == "GetSecretValue":
            text = json.dumps({"__type": code, "Message": message})
            response = Response(status, text, {"x-amzn-RequestId": "fake-sm"}, "application/x-amz-json-1.1")
        else:
            response = Response(status, json.dumps({"code": code, "message": message}), content_type="application/json")
        response.code = code
        return response

    def _issue(self, operation, seconds=None):
        """A new set of keys and its end."""
        key = issued(len(self.issued_log) + 1)
        lifetime = self.settings["lifetime_seconds"] if seconds is None else min(seconds, self.settings["lifetime_seconds"])
        until = _iso(self.server.now() + lifetime)
        self.issued_log.append({"operation": operation, "access_key": key.access_key, "expiration": until})
        return key, until

    # -- instance metadata

    def _imds_token(self, request, body):
        imds = self.settings["imds"]
        if "x-forwarded-for" in request.by_name:
            raise Refused(403, "Forbidden", "came through a proxy")
        if imds["mode"] == "v1":
            raise Refused(imds["put_status"], "Refused", "no tokens here")
        if request.method != "PUT":
            raise Refused(405, "MethodNotAllowed", "PUT is")
        ttl = request.header("x-aws-ec2-metadata-token-ttl-seconds", "")
        if not ttl.isdigit() or not 1 <= int(ttl) <= 21600:
            raise Refused(400, "BadRequest", "x-aws-ec2-metadata-token-ttl-seconds must be from 1 to 21600")
        token = base64.b64encode(os.urandom(40)).decode()
        self.tokens[token] = self.server.now() + int(ttl)
        return Response(200, token, {"x-aws-ec2-metadata-token-ttl-seconds": ttl}, "text/plain")

    def _check_imds(self, request):
        token = request.header("x-aws-ec2-metadata-token")
        if token is None and self.settings["imds"]["mode"] in ("v1", "both"):
            return
        if self.tokens.get(token, 0) <= self.server.now():
            raise Refused(401, "Unauthorized", "no token, or one that has ended")

    def _imds_role(self, request, body):
        self._check_imds(request)
        role = self.settings["imds"]["role"]
        return Response(200, role, content_type="text/plain") if role else Response(404, "no role\n")

    def _imds_credentials(self, request, body):
        self._check_imds(request)
        imds = self.settings["imds"]
        if request.path != IMDS_ROLE_PATH + (imds["role"] or "/"):
            return Response(404, "no such role\n")
        if imds["failure"]:
            return _json({"Code": imds["failure"], "Message": "EC2 cannot assume the role", "LastUpdated": _iso(self.server.now())})
        key, until = self._issue("ImdsCredentials")
        return _json({"Code": "Success", "LastUpdated": _iso(self.server.now()), "Type": "AWS-HMAC", "AccessKeyId": key.access_key,
                      "SecretAccessKey": key.secret_key, "Token": key.token, "Expiration": until})  # fmt: skip

    def _container(self, request, body):
        wanted = self.settings["container"]["authorization"]
        if wanted is not None and request.header("authorization") != wanted:
            raise Refused(403, "AccessDenied", "wrong Authorization")
        key, until = self._issue("ContainerCredentials")
        return _json({"RoleArn": "arn:aws:iam::123456789012:role/task", "AccessKeyId": key.access_key,
                      "SecretAccessKey": key.secret_key, "Token": key.token, "Expiration": until})  # fmt: skip

    # -- STS

    def _form(self, body, *needed):
        try:
            form = {n: v[0] for n, v in parse_qs(body.decode(), strict_parsing=True, keep_blank_values=True).items()}
        except ValueError:
            raise Refused(400, "MalformedInput", "not a form") from None
        if form.get("Version") != "2011-06-15":
            raise Refused(400, "InvalidAction", "Could not find operation for that version")
        for name in needed:
            if not form.get(name):
                raise Refused(400, "ValidationError", f"Value null at '{name}' failed to satisfy constraint")
        seconds = form.get("DurationSeconds", "3600")
        if not seconds.isdigit() or not 900 <= int(seconds) <= 43200:
            raise Refused(400, "ValidationError", "DurationSeconds must be from 900 to 43200")
        roles = self.settings["sts"]["roles"]
        if roles is not None and form["RoleArn"] not in roles:
            raise Refused(403, "AccessDenied", f"Not authorized to perform sts:{form['Action']}")
        return form, int(seconds)

    def _granted(self, operation, form, seconds):
        key, until = self._issue(operation, seconds)
        credentials = [("AccessKeyId", key.access_key), ("SecretAccessKey", key.secret_key), ("SessionToken", key.token),
                       ("Expiration", until)]  # fmt: skip
        user = [("AssumedRoleId", "AROAFAKE:session"), ("Arn", form["RoleArn"] + "/session")]
        result = element(f"{operation}Result", [("Credentials", credentials), ("AssumedRoleUser", user)])
        metadata = element("ResponseMetadata", [("RequestId", "fake-sts")])
        text = f'<{operation}Response xmlns="{STS_NAMESPACE}">{result}{metadata}</{operation}Response>'
        return Response(200, text, content_type="text/xml")

    def _web_identity(self, request, body):
        form, seconds = self._form(body, "RoleArn", "RoleSessionName", "WebIdentityToken")
        if "authorization" in request.by_name:
            raise Refused(400, "InvalidRequest", "this request isn't to be signed")
        sts = self.settings["sts"]
        if form["WebIdentityToken"] in sts["expired_web_tokens"]:
            raise Refused(400, "ExpiredTokenException", "Token expired")
        if form["WebIdentityToken"] not in sts["web_tokens"]:
            raise Refused(400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider")
        return self._granted("AssumeRoleWithWebIdentity", form, seconds)

    def _assume_role(self, request, body):
        self._verify(request, body, "sts")
        form, seconds = self._form(body, "RoleArn", "RoleSessionName")
        return self._granted("AssumeRole", form, seconds)

    def _verify(self, request, body, service):
        keys = {k["access_key"]: Key(k["access_key"], k["secret_key"], k.get("session_token")) for k in self.settings["keys"]}
        for number in range(1, len(self.issued_log) + 1):
            keys[issued(number).access_key] = issued(number)
        verdict = verify(request, service, keys, self.server.now(), hashlib.sha256(body).hexdigest())
        if verdict.region != self.settings["region"]:
            raise AuthError(403, "SignatureDoesNotMatch", f"Credential should be scoped to a valid region, not '{verdict.region}'.")

    # -- Secrets Manager

    def _secret_value(self, request, body):
        self._verify(request, body, "secretsmanager")
        if request.header("content-type") != "application/x-amz-json-1.1":
            raise Refused(400, "SerializationException", "Content-Type must be application/x-amz-json-1.1")
        try:
            asked = json.loads(body)
        except ValueError:
            raise Refused(400, "SerializationException", "not JSON") from None
        name = asked.get("SecretId")
        if not name:
            raise Refused(400, "InvalidParameterException", "You must provide SecretId")
        secret = self.settings["secrets"].get(name)
        stage = asked.get("VersionStage", "AWSCURRENT")
        if secret is None or stage not in secret.get("stages", ["AWSCURRENT"]):
            raise Refused(400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        fields = {"ARN": f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}", "Name": name,
                  "VersionId": "00000000-0000-0000-0000-000000000001", "VersionStages": [stage], "CreatedDate": 1.7e9}  # fmt: skip
        fields |= {"SecretBinary": secret["binary"]} if "binary" in secret else {"SecretString": secret["string"]}
        return Response(200, json.dumps(fields), {"x-amzn-RequestId": "fake-sm"}, "application/x-amz-json-1.1")


def _json(fields):
    return Response(200, json.dumps(fields), content_type="application/json")


def _auth_code(operation, e):
    """Each family of services has words of its own."""
    names = {"InvalidAccessKeyId": "UnrecognizedClientException", "SignatureDoesNotMatch": "InvalidSignatureException",
             "InvalidToken": "UnrecognizedClientException", "RequestTimeTooSkewed": "InvalidSignatureException",
             "AccessDenied": "MissingAuthenticationTokenException"}  # fmt: skip
    if operation == "GetSecretValue":
        return names.get(e.code, e.code)
    return {"InvalidAccessKeyId": "InvalidClientTokenId", "RequestTimeTooSkewed": "SignatureDoesNotMatch",
            "InvalidToken": "InvalidClientTokenId", "AccessDenied": "MissingAuthenticationToken"}.get(e.code, e.code)  # fmt: skip
