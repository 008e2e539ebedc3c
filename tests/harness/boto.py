"""Someone else's client: boto3 against a fake or a gateway, with nothing of this machine's AWS settings."""

import os
import urllib.parse

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
from botocore.config import Config

NOWHERE = "/nonexistent"


def clean_environment(monkeypatch):
    """Without what boto3 would read from the environment, some of which machines set for everyone."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith(("_ca_bundle", "_proxy")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", NOWHERE)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", NOWHERE)


def client(
    service, url, access_key, secret_key, token=None, ca_file=None, region="us-east-1", style="path", attempts=1
):
    return boto3.session.Session().client(
        service,
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        aws_session_token=token,
        region_name=region,
        verify=ca_file,
        config=Config(
            signature_version="v4" if service != "s3" else "s3v4",
            s3={"addressing_style": style},
            retries={"total_max_attempts": attempts},
            connect_timeout=60,
            read_timeout=120,
        ),
    )


def add_headers(s3, operation, **headers):
    """Signed headers that this boto3 doesn't know yet; underscores become hyphens."""

    def add(request, **_):
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value

    s3.meta.events.register(f"before-sign.s3.{operation}", add)
    return s3


def signed(method, url, access_key, secret_key, body=b"", headers=(), region="us-east-1", token=None, payload=None):
    """Headers of a request signed by botocore, for sending it byte by byte; Host included. `payload` replaces the
    body's digest."""
    request = botocore.awsrequest.AWSRequest(method, url, data=body, headers=dict(headers))
    request.headers["Host"] = urllib.parse.urlsplit(url).netloc
    credentials = botocore.credentials.Credentials(access_key, secret_key, token)
    signer = botocore.auth.S3SigV4Auth(credentials, "s3", region)
    if payload is not None:
        signer.payload = lambda request: payload
    signer.add_auth(request)
    return dict(request.headers.items())
