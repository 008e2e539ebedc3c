"""The scripted sources of Azure's bearer tokens (tests/fakes): what they demand and refuse, first as Microsoft's own
identity library asks them, then from the socket."""

import json
import time
import urllib.parse

import pytest

from harness import azure_sdk
from harness.azure_sdk import AzureError
from harness.fakes import FakeAzure, FakeCredentials
from harness.raw_http import send

IMDS = "/metadata/identity/oauth2/token"
STORAGE = "https://storage.azure.com/"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(scope="module")
def server():
    with FakeCredentials() as fake:
        yield fake


@pytest.fixture(autouse=True)
def clean(server):
    server.reset()


def ask(server, method, path, body=b"", headers=(), **query):
    query = {name.replace("_", "-") if name == "api_version" else name: value for name, value in query.items()}
    url = server.http + path + ("?" + urllib.parse.urlencode(query) if query else "")
    return send(method, url, {"Host": f"127.0.0.1:{server.ports['http']}", **dict(headers)}, body)


def imds(server, headers=(("Metadata", "true"),), **query):
    return ask(server, "GET", IMDS, headers=headers, **{"api_version": "2018-02-01", "resource": STORAGE, **query})


def app_service(server, header="identity-secret", **query):
    query = {"api_version": "2019-08-01", "resource": STORAGE, **query}
    return ask(server, "GET", "/msi/token", headers={"X-IDENTITY-HEADER": header}, **query)


def entra(server, tenant="tenant", **fields):
    given = {"grant_type": "client_credentials", "client_id": "client", "scope": STORAGE + ".default", **fields}
    body = urllib.parse.urlencode({name: value for name, value in given.items() if value is not None}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return ask(server, "POST", f"/{tenant}/oauth2/v2.0/token", body, headers)


def workload(**more):
    return {"client_assertion_type": JWT_BEARER, "client_assertion": "federated-token", **more}


def told(answer):
    document = json.loads(answer.body)
    return answer.status, document.get("error") or document["message"]


# -- as Microsoft's library asks


def test_managed_identity(server):
    environment = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": server.http}
    given = azure_sdk.token("ManagedIdentityCredential", environment=environment)
    assert abs(given["expiresOnTimestamp"] / 1000 - time.time() - 3600) < 60
    with FakeAzure(accept_issued=True) as store:
        assert store.endpoint(tls=True).client(token=given["token"]).names("container") == []
    azure_sdk.token("ManagedIdentityCredential", "user-client", environment=environment)
    assert [line["client"] for line in server.state()["azure_issued"]] == ["system-client", "user-client"]
    with pytest.raises(AzureError):
        azure_sdk.token("ManagedIdentityCredential", "another", environment=environment)


def test_app_service(server):
    environment = {"IDENTITY_ENDPOINT": server.http + "/msi/token", "IDENTITY_HEADER": "identity-secret"}
    given = azure_sdk.token("ManagedIdentityCredential", environment=environment)
    assert given["token"] and server.last("AppServiceToken")["status"] == 200
    assert "identity-secret" not in str(server.log())
    with pytest.raises(AzureError):
        azure_sdk.token("ManagedIdentityCredential", environment={**environment, "IDENTITY_HEADER": "wrong"})


def test_workload_identity_and_client_secret(server, tmp):
    path = f"{tmp}/federated"
    options = {"authorityHost": server.https, "disableInstanceDiscovery": True, "ca_file": server.ca_file}
    for content, good in (("federated-token", True), ("another", False)):
        with open(path, "w") as f:
            f.write(content)
        ours = {"clientId": "client", "tenantId": "tenant", "tokenFilePath": path, **options}
        if good:
            assert azure_sdk.token("WorkloadIdentityCredential", **ours)["token"]
        else:
            with pytest.raises(AzureError, match="AADSTS700213"):
                azure_sdk.token("WorkloadIdentityCredential", **ours)
    assert azure_sdk.token("ClientSecretCredential", "tenant", "client", "client-secret", **options)["token"]
    with pytest.raises(AzureError, match="AADSTS7000215"):
        azure_sdk.token("ClientSecretCredential", "tenant", "client", "wrong", **options)


# -- from the socket


def test_forms_of_answers(server):
    given = json.loads(imds(server).body)
    assert (given["expires_in"], given["token_type"], given["resource"]) == ("3600", "Bearer", STORAGE)  # a string
    assert abs(int(given["expires_on"]) - time.time() - 3600) < 60
    given = json.loads(app_service(server).body)
    assert "expires_in" not in given and isinstance(given["expires_on"], str)
    given = json.loads(entra(server, **workload()).body)
    assert (given["expires_in"], given["token_type"]) == (3600, "Bearer") and "expires_on" not in given


def test_what_is_refused(server):
    assert told(imds(server, headers=())) == (400, "invalid_request")
    assert told(imds(server, headers={"Metadata": "true", "X-Forwarded-For": "1.2.3.4"})) == (400, "invalid_request")
    assert told(imds(server, api_version="2017-01-01"))[0] == 400
    assert told(imds(server, resource=""))[0] == 400
    assert told(imds(server, client_id="another")) == (400, "invalid_request")
    server.change(azure={"identity": None})
    assert told(imds(server)) == (400, "invalid_request")
    assert imds(server, client_id="user-client").status == 200
    assert app_service(server, header="wrong").status == 401
    assert app_service(server, api_version="2017-09-01", client_id="user-client").status == 400
    for more, status, error in (
        ({"client_assertion": "another"}, 401, "invalid_client"),
        ({"client_assertion_type": "x"}, 400, "invalid_request"),
        ({"client_id": "another"}, 400, "unauthorized_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": "https://storage.azure.com/"}, 400, "invalid_scope"),
        ({"tenant": "another"}, 400, "invalid_request"),
    ):
        assert told(entra(server, **workload(**more))) == (status, error), more
    assert told(entra(server, client_secret="wrong")) == (401, "invalid_client")
    assert told(entra(server)) == (401, "invalid_client")
    assert entra(server, client_secret="client-secret").status == 200
    server.change(azure={"clients": {"client": {"expired_assertions": ["federated-token"]}}})
    assert b"AADSTS700024" in entra(server, **workload()).body


def test_tokens_are_good_for_what_they_say(server):
    with FakeAzure(accept_issued=True) as store:
        endpoint = store.endpoint(tls=True)

        def answer(token):
            headers = {"Authorization": f"Bearer {token}"}
            return endpoint.raw("GET", "/container/k", signed=False, headers=headers).status

        good = json.loads(imds(server).body)["access_token"]
        foreign = json.loads(imds(server, resource="https://vault.azure.net").body)["access_token"]
        server.change(lifetime_seconds=-1)
        over = json.loads(entra(server, **workload()).body)["access_token"]
        forged = good[:-4] + ("0000" if good[-4:] != "0000" else "1111")
        assert [answer(token) for token in (good, foreign, over, forged)] == [404, 401, 401, 401]
        store.control("POST", "/credentials", {"expire": ["issued-1"]})
        assert answer(good) == 401
        store.change(accept_issued=False)
        store.control("POST", "/credentials", {"unexpire": ["issued-1"]})
        assert answer(good) == 401


def test_faults(server):
    server.rule({"type": "respond", "status": 401, "code": "invalid_client"}, {"operation": "EntraToken"})
    assert [entra(server, **workload()).status for _ in range(2)] == [401, 200]
    server.rule({"type": "respond", "status": 404, "code": "not_found"}, {"operation": "AzureImdsToken"})
    assert [imds(server).status for _ in range(2)] == [404, 200]
    server.rule("truncate", {"operation": "AzureImdsToken"})
    with pytest.raises(ValueError):
        json.loads(imds(server).body)
    server.rule("garbage", {"operation": "AppServiceToken"})
    assert app_service(server).body.startswith(b"\0")
    server.rule({"type": "alter", "replace": {'"access_token"': '"access"'}}, {"operation": "EntraToken"})
    assert "access_token" not in json.loads(entra(server, **workload()).body)
