"""The scripted credential services (tests/fakes) against botocore's own providers and, for Vault, hvac; what those hide
(status codes, leases) by plain HTTP."""

import datetime
import json
import threading
import urllib.error
import urllib.request

import botocore.credentials
import botocore.utils
import hvac
import pytest
from botocore.exceptions import ClientError

from harness import boto
from harness.fakes import DIRECT, FakeCredentials, FakeS3

ROLE = "arn:aws:iam::123456789012:role/backup"


@pytest.fixture(scope="module")
def server():
    with FakeCredentials() as fake:
        yield fake


@pytest.fixture(autouse=True)
def clean(no_aws_settings, server):
    server.reset()


def imds(server):
    fetcher = botocore.utils.InstanceMetadataFetcher(timeout=60, num_attempts=1, base_url=server.http + "/")
    return botocore.credentials.InstanceMetadataProvider(fetcher).load()


def container(server, token=None):
    environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.http + "/v2/credentials/task"}
    if token:
        environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = token
    return botocore.credentials.ContainerProvider(environ).load()


def sts(server, **_):
    return boto.client("sts", server.http, "AKIAFAKE", "fake-secret")


def web_identity(server, token="web-token"):
    fetcher = botocore.credentials.AssumeRoleWithWebIdentityCredentialFetcher(
        lambda *a, **k: sts(server), lambda: token, ROLE
    )
    return botocore.credentials.DeferredRefreshableCredentials(fetcher.fetch_credentials, "test")


def assumed(server):
    answer = sts(server).assume_role(RoleArn=ROLE, RoleSessionName="session")["Credentials"]
    return botocore.credentials.Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])


@pytest.mark.parametrize("source", [imds, container, web_identity, assumed])
def test_issued_keys_are_good_for_the_store(server, source):
    keys = source(server).get_frozen_credentials()
    store = FakeS3(accept_issued=True)
    try:
        arguments = {"Bucket": "bucket", "Key": "k", "Body": b"1"}
        boto.client("s3", store.http, keys.access_key, keys.secret_key, keys.token).put_object(**arguments)
        with pytest.raises(ClientError, match="InvalidToken"):
            boto.client("s3", store.http, keys.access_key, keys.secret_key, "other").put_object(**arguments)
    finally:
        store.close()
    assert [e["access_key"] for e in server.state()["issued"]] == [keys.access_key]


def test_imds_modes(server):
    assert imds(server).access_key == "ASIAFAKE00000001"
    assert [e["operation"] for e in server.log()] == ["ImdsToken", "ImdsRole", "ImdsCredentials"]
    assert server.log()[1]["headers"]["x-aws-ec2-metadata-token"] == "..."
    role = "/latest/meta-data/iam/security-credentials/"
    assert get(server, role)[0] == 401
    server.change(imds={"mode": "v1", "put_status": 405})
    assert imds(server).access_key == "ASIAFAKE00000002"
    server.change(imds={"mode": "both"})
    assert get(server, role) == (200, b"backup-role")
    server.change(imds={"mode": "v2", "failure": "AssumeRoleUnauthorizedAccess"})
    assert imds(server) is None
    server.change(imds={"failure": None, "role": None})
    assert imds(server) is None


def test_imds_tokens_end(server):
    put = {"x-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = get(server, "/latest/api/token", put, "PUT")[1].decode()
    role = "/latest/meta-data/iam/security-credentials/"
    assert get(server, role, {"x-aws-ec2-metadata-token": token})[0] == 200
    server.change(clock_offset=61)
    assert get(server, role, {"x-aws-ec2-metadata-token": token})[0] == 401
    assert get(server, "/latest/api/token", {**put, "X-Forwarded-For": "10.0.0.1"}, "PUT")[0] == 403
    assert get(server, "/latest/api/token", {}, "PUT")[0] == 400


def test_refresh(server):
    """Keys that end within botocore's mandatory window are fetched anew at each use."""
    server.change(lifetime_seconds=60)
    keys = container(server)
    first, second = keys.get_frozen_credentials().access_key, keys.get_frozen_credentials().access_key
    assert first != second
    server.change(lifetime_seconds=7200)
    third = keys.get_frozen_credentials().access_key
    assert third == keys.get_frozen_credentials().access_key


def test_container_authorization(server):
    server.change(container={"authorization": "let me"})
    assert container(server, "let me").access_key
    with pytest.raises(botocore.exceptions.CredentialRetrievalError):
        container(server, "in")


def test_web_identity_errors(server):
    server.change(sts={"expired_web_tokens": ["ended"]})
    for token, code in (("ended", "ExpiredTokenException"), ("stranger", "InvalidIdentityToken")):
        with pytest.raises(ClientError) as e:
            web_identity(server, token).get_frozen_credentials()
        assert e.value.response["Error"]["Code"] == code
    server.change(sts={"roles": ["another"]})
    with pytest.raises(ClientError, match="AccessDenied"):
        web_identity(server).get_frozen_credentials()
    server.rule(
        {"type": "respond", "status": 400, "code": "IDPCommunicationError", "message": "later"},
        {"operation": "AssumeRoleWithWebIdentity"},
    )
    with pytest.raises(ClientError, match="IDPCommunicationError"):
        web_identity(server).get_frozen_credentials()
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        boto.client("sts", server.http, "AKIAFAKE", "wrong").assume_role(RoleArn=ROLE, RoleSessionName="session")


def secrets_manager(server, secret="fake-secret", region="us-east-1"):
    return boto.client("secretsmanager", server.https, "AKIAFAKE", secret, ca_file=server.ca_file, region=region)


def test_secrets_manager(server):
    found = secrets_manager(server).get_secret_value(SecretId="backup/s3")
    assert json.loads(found["SecretString"])["access_key"] == "AKIAFAKE"
    server.change(secrets={"b": {"binary": "aGVsbG8="}})
    assert secrets_manager(server).get_secret_value(SecretId="b")["SecretBinary"] == b"hello"
    for client, arguments, code in (
        (secrets_manager(server), {"SecretId": "none"}, "ResourceNotFoundException"),
        (secrets_manager(server), {"SecretId": "b", "VersionStage": "AWSPENDING"}, "ResourceNotFoundException"),
        (secrets_manager(server, "wrong"), {"SecretId": "b"}, "InvalidSignatureException"),
        (secrets_manager(server, region="eu-west-1"), {"SecretId": "b"}, "InvalidSignatureException"),
    ):
        with pytest.raises(ClientError) as e:
            client.get_secret_value(**arguments)
        assert e.value.response["Error"]["Code"] == code


def test_lifetime_and_single_request(server):
    """What a test of ours will look at: how often keys were fetched, and when they end."""
    server.rule("hold", {"operation": "ContainerCredentials"})
    done = threading.Thread(target=container, args=(server,))
    done.start()
    server.wait_holding()
    assert server.activity()["in_flight"] == {"ContainerCredentials": 1}
    server.release()
    done.join()
    issued = server.state()["issued"]
    until = datetime.datetime.strptime(issued[0]["expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(
        tzinfo=datetime.timezone.utc
    )
    left = until - datetime.datetime.now(datetime.timezone.utc)
    assert len(issued) == 1 and datetime.timedelta(minutes=50) < left <= datetime.timedelta(hours=1)


# -- Vault


def get(server, path, headers=(), method="GET", body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.http + path, data, dict(headers), method=method)
    try:
        with DIRECT.open(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def vault(server, path, token=None, method="GET", body=None, **headers):
    given = {**({"X-Vault-Token": token} if token else {}), **{n.replace("_", "-"): v for n, v in headers.items()}}
    status, text = get(server, "/v1/" + path, given, method, body)
    return status, json.loads(text)


def login(server):
    status, answer = vault(
        server, "auth/approle/login", method="POST", body={"role_id": "role-id", "secret_id": "secret-id"}
    )
    assert status == 200
    return answer["auth"]["client_token"], answer["auth"]


def test_vault_read(server):
    status, answer = vault(server, "secret/data/backup/s3", "root")
    assert status == 200 and answer["data"]["data"]["secret_key"] == "fake-secret"
    assert answer["data"]["metadata"]["version"] == 1
    assert vault(server, "secret/data/none", "root") == (404, {"errors": []})
    assert vault(server, "secret/data/backup/s3", "other")[0] == 403
    assert vault(server, "secret/backup/s3", "root")[1]["warnings"]
    server.change(vault={"secrets": {"v": [{"n": "1"}, {"n": "2"}]}, "deleted": ["gone"]})
    assert vault(server, "secret/data/v", "root")[1]["data"]["data"] == {"n": "2"}
    assert vault(server, "secret/data/v?version=1", "root")[1]["data"]["data"] == {"n": "1"}
    server.change(vault={"secrets": {"gone": {"n": "1"}}})
    status, answer = vault(server, "secret/data/gone", "root")
    assert status == 404 and answer["data"]["data"] is None and answer["data"]["metadata"]["deletion_time"]


def test_vault_logins_and_leases(server):
    server.change(vault={"token_ttl": 100, "token_max_ttl": 150})
    token, auth = login(server)
    assert (auth["lease_duration"], auth["renewable"]) == (100, True)
    assert vault(server, "secret/data/backup/s3", token)[0] == 200
    server.change(clock_offset=90)
    assert vault(server, "auth/token/renew-self", token, "POST", {})[1]["auth"]["lease_duration"] in (59, 60)
    server.change(clock_offset=120)
    assert vault(server, "secret/data/backup/s3", token)[0] == 200
    server.change(clock_offset=151)
    assert vault(server, "secret/data/backup/s3", token)[0] == 403
    assert vault(server, "auth/token/renew-self", token, "POST", {})[0] == 403
    jwt = {"role": "backup", "jwt": "jwt"}
    assert vault(server, "auth/kubernetes/login", method="POST", body=jwt)[0] == 200
    assert vault(server, "auth/kubernetes/login", method="POST", body={**jwt, "jwt": "x"})[0] == 403
    assert vault(server, "auth/approle/login", method="POST", body={"role_id": "role-id", "secret_id": "x"})[0] == 400
    assert vault(server, "auth/token/renew-self", "root", "POST", {})[0] == 400


def test_vault_revocation_sealing_namespaces(server):
    token, _ = login(server)
    server.control("POST", "/vault/revoke", {})
    assert vault(server, "secret/data/backup/s3", token) == (403, {"errors": ["permission denied"]})
    token, _ = login(server)
    assert vault(server, "secret/data/backup/s3", token)[0] == 200
    server.change(vault={"sealed": True})
    assert vault(server, "secret/data/backup/s3", token) == (503, {"errors": ["Vault is sealed"]})
    server.change(vault={"sealed": False, "namespace": "team/"})
    assert vault(server, "secret/data/backup/s3", token)[0] == 403
    assert vault(server, "secret/data/backup/s3", token, X_Vault_Namespace="team/")[0] == 200
    server.rule(
        {"type": "respond", "status": 429, "headers": {"Retry-After": "1"}, "code": "slow"}, {"operation": "VaultRead"}
    )
    assert vault(server, "secret/data/backup/s3", token, X_Vault_Namespace="team/") == (429, {"errors": ["slow"]})


def test_vault_with_hvac(server):
    server.change(vault={"namespace": "team"})
    client = hvac.Client(url=server.https, verify=server.ca_file, namespace="team")
    client.auth.approle.login(role_id="role-id", secret_id="secret-id")
    secret = client.secrets.kv.v2.read_secret_version(path="backup/s3", mount_point="secret")
    assert secret["data"]["data"] == {"access_key": "AKIAFAKE", "secret_key": "fake-secret"}
    assert client.auth.token.renew_self()["auth"]["lease_duration"] == 3600
    with pytest.raises(hvac.exceptions.InvalidPath):
        client.secrets.kv.v2.read_secret_version(path="none", mount_point="secret")
    client.auth.kubernetes.login(role="backup", jwt="jwt")
    assert client.lookup_token()["data"]["ttl"] in (3599, 3600)
    server.control("POST", "/vault/revoke", {})
    with pytest.raises(hvac.exceptions.Forbidden):
        client.secrets.kv.v2.read_secret_version(path="backup/s3", mount_point="secret")
