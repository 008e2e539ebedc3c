"""The scripted sources of Google's access tokens (tests/fakes): what they demand, what they refuse and how; assertions are
signed by python3-cryptography. Google's own client stands before them in test_fake_gcs.py."""

import base64
import json
import time
import urllib.parse

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from harness.fakes import FakeCredentials, FakeGcs
from harness.raw_http import send

READ_WRITE = "https://www.googleapis.com/auth/devstorage.read_write"
PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


@pytest.fixture(scope="module")
def server():
    with FakeCredentials() as fake:
        yield fake


@pytest.fixture(autouse=True)
def clean(server):
    server.reset()


def ask(server, method, path, body=b"", **headers):
    headers = {"Host": f"127.0.0.1:{server.ports['http']}", **{n.replace("_", "-"): v for n, v in headers.items()}}
    return send(method, server.http + path, headers, body)


def form(server, path, **fields):
    body = urllib.parse.urlencode(fields).encode()
    return ask(server, "POST", path, body, Content_Type="application/x-www-form-urlencoded")


def told(answer):
    """(status, error, description)"""
    document = json.loads(answer.body)
    return answer.status, document["error"], document.get("error_description", "")


def good(answer, name="access_token"):
    assert answer.status == 200, answer.body
    return json.loads(answer.body)[name]


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def assertion(account, hash=hashes.SHA256, header=(), **claims):
    now = int(time.time())
    header = {"alg": "RS256", "typ": "JWT", "kid": account["private_key_id"], **dict(header)}
    claims = {"iss": account["client_email"], "scope": READ_WRITE, "aud": account["token_uri"], "iat": now,
              "exp": now + 3600, **claims}  # fmt: skip
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    key = serialization.load_pem_private_key(account["private_key"].encode(), None)
    return signed + "." + base64url(key.sign(signed.encode(), padding.PKCS1v15(), hash()))


def exchange(server, text):
    return form(server, "/token", grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer", assertion=text)


def works(token, status=200):
    """The store's word on a token."""
    with FakeGcs() as store:
        headers = {"Host": "127.0.0.1", "Authorization": f"Bearer {token}"}
        return send("GET", store.http + "/storage/v1/b/bucket/o", headers).status == status


def test_assertions(server):
    account = server.service_account()
    token = good(exchange(server, assertion(account)))
    assert works(token) and works(token + "x", 401)
    line = server.google_issued()[-1]
    assert (line["account"], line["scopes"], line["token"]) == (account["client_email"], [READ_WRITE], token)
    other = server.service_account(email="other@project.iam.gserviceaccount.com")
    now = int(time.time())
    whole = assertion(account)
    for text, code, word in (
        (assertion({**account, "private_key": other["private_key"]}), "invalid_grant", "Signature"),
        (assertion(account, hashes.SHA384), "invalid_grant", "Signature"),
        (whole[:-4] + ("AAAA" if whole[-4:] != "AAAA" else "BBBB"), "invalid_grant", "Signature"),
        (whole + "==", "invalid_grant", "without padding"),
        (assertion({**account, "private_key_id": "f" * 40}), "invalid_grant", "Signature"),
        (assertion(account, header={"alg": "HS256"}), "invalid_grant", "RS256"),
        (assertion(account, iss="nobody@project.iam.gserviceaccount.com"), "invalid_grant", "account not found"),
        (assertion(account, aud="https://oauth2.googleapis.com/token"), "invalid_grant", "audience"),
        (assertion(account, scope=""), "invalid_scope", "scope"),
        (assertion(account, exp=now + 3601), "invalid_grant", "reasonable timeframe"),
        (assertion(account, iat=now - 4000, exp=now - 1), "invalid_grant", "reasonable timeframe"),
        (assertion(account, iat=now + 400, exp=now + 500), "invalid_grant", "reasonable timeframe"),
        ("a.b", "invalid_grant", "Bad Request"),
    ):
        status, error, description = told(exchange(server, text))
        assert (status, error) == (400, code) and word in description, (text, error, description)
    server.change(clock_offset=4000)
    assert told(exchange(server, assertion(account)))[1] == "invalid_grant"
    assert len(server.google_issued()) == 1
    later = now + 4000
    assert exchange(server, assertion(account, iat=later, exp=later + 60)).status == 200


def test_users(server):
    right = {"grant_type": "refresh_token", "client_id": "client", "client_secret": "client-secret", "refresh_token": "refresh-token"}
    assert works(good(form(server, "/token", **right)))
    assert told(form(server, "/token", **{**right, "refresh_token": "revoked"}))[:2] == (400, "invalid_grant")
    assert told(form(server, "/token", **{**right, "client_secret": "x"}))[:2] == (401, "invalid_client")
    assert told(form(server, "/token", **{**right, "client_id": "x"}))[:2] == (401, "invalid_client")


def test_metadata(server):
    path = "/computeMetadata/v1/instance/service-accounts/default/token"
    answer = ask(server, "GET", path, Metadata_Flavor="Google")
    assert answer.headers["Metadata-Flavor"] == "Google" and works(good(answer))
    assert ask(server, "GET", path).status == 403
    assert ask(server, "GET", path, Metadata_Flavor="Google", X_Forwarded_For="10.0.0.1").status == 403
    server.change(google={"flavor": None})
    assert "Metadata-Flavor" not in ask(server, "GET", path, Metadata_Flavor="Google").headers
    server.change(google={"account": None})
    assert ask(server, "GET", path, Metadata_Flavor="Google").status == 404


def federated(server, **changes):
    return form(server, "/v1/token", **{
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": "//iam.googleapis.com/pool/provider",
        "scope": PLATFORM,
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": "subject-token",
        **changes,
    })  # fmt: skip


def generate(server, token, account="target@project.iam.gserviceaccount.com", **changes):
    body = json.dumps({"scope": [READ_WRITE], "lifetime": "3600s", **changes}).encode()
    path = f"/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
    return ask(server, "POST", path, body, Authorization=f"Bearer {token}", Content_Type="application/json")


def test_federation_and_impersonation(server):
    assert ask(server, "GET", "/subject-token").body == b"subject-token"
    server.change(google={"subject": {"token": "subject-token", "headers": {"X-Need": "1"}, "field": "id_token"}})
    assert ask(server, "GET", "/subject-token").status == 403
    assert json.loads(ask(server, "GET", "/subject-token", X_Need="1").body) == {"id_token": "subject-token"}
    token = good(federated(server))
    assert works(token)
    for change, code in (({"audience": "//iam.googleapis.com/other"}, "invalid_target"), ({"subject_token": "x"}, "invalid_grant"),
                         ({"subject_token_type": "x"}, "invalid_request"), ({"requested_token_type": "x"}, "invalid_request"),
                         ({"grant_type": "x"}, "unsupported_grant_type"), ({"scope": ""}, "invalid_scope")):  # fmt: skip
        assert told(federated(server, **change))[:2] == (400, code)
    answer = generate(server, token)
    assert works(good(answer, "accessToken")) and json.loads(answer.body)["expireTime"].endswith("Z")
    assert generate(server, token, "stranger@project.iam.gserviceaccount.com").status == 403
    assert generate(server, "x").status == 401
    assert generate(server, token, scope=[]).status == 400
    assert generate(server, good(federated(server, scope=READ_WRITE))).status == 403


def test_lifetime_and_rules(server):
    account = server.service_account()
    server.change(lifetime_seconds=-1)
    assert works(good(exchange(server, assertion(account))), 401)
    server.rule({"type": "respond", "status": 503, "code": "temporarily_unavailable"}, {"operation": "ExchangeAssertion"})
    assert told(exchange(server, assertion(account)))[:2] == (503, "temporarily_unavailable")
    server.rule({"type": "garbage"}, {"operation": "ExchangeAssertion"})
    assert exchange(server, assertion(account)).body.startswith(b"\x00")
    server.control("DELETE", "/google/service-account", {"email": account["client_email"]})
    assert told(exchange(server, assertion(account)))[2] == "Invalid grant: account not found"
    assert "assertion" not in json.dumps(server.log())
