"""Verification of AWS Signature V4, from the request as it arrived. Begin with verify().

Written from AWS's description, not from our signer, so that one checks the other. S3's path rule: the decoded key
encoded once, never normalised; other services: normalised and encoded twice.
"""

import calendar
import hashlib
import hmac
import time
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW_SECONDS = 15 * 60
UNSIGNED = "UNSIGNED-PAYLOAD"
PRESIGNED_MAX_SECONDS = 604800


class AuthError(Exception):
    def __init__(self, status, code, message, **extra):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.extra = extra


class Key:
    """A pair of keys; `token` is what must come along when they are temporary."""

    def __init__(self, access_key, secret_key, token=None):
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token


class Verdict:
    def __init__(self, key, region, presigned, payload, signed_headers):
        self.key = key
        self.region = region
        self.presigned = presigned
        self.payload = payload
        self.signed_headers = signed_headers


def iso_time(seconds):
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def parse_iso(text):
    try:
        return calendar.timegm(time.strptime(text, "%Y%m%dT%H%M%SZ"))
    except (ValueError, TypeError):
        raise AuthError(403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header") from None


def encode(text, safe="-_.~"):
    return quote(text.encode("utf-8", "surrogateescape"), safe=safe)


def canonical_path(request, service):
    if service == "s3":
        return encode(request.path, "-_.~/") or "/"
    kept = []
    for segment in request.raw_path.split("/"):
        if segment == "..":
            kept[-1:] = []
        elif segment not in ("", "."):
            kept.append(segment)
    path = "/" + "/".join(kept)
    if kept and request.raw_path.endswith("/"):
        path += "/"
    return encode(path, "-_.~/")


def canonical_query(request):
    pairs = sorted((encode(n), encode(v)) for n, v in request.query_pairs if n != "X-Amz-Signature")
    return "&".join(f"{n}={v}" for n, v in pairs)


def canonical_request(request, service, signed_headers, payload):
    lines = [request.method, canonical_path(request, service), canonical_query(request)]
    for name in sorted(signed_headers):
        values = request.by_name.get(name, [""])
        lines.append(f"{name}:{','.join(' '.join(v.split()) for v in values)}")
    lines += ["", ";".join(signed_headers), payload]
    return "\n".join(lines)


def signature(secret, scope, string_to_sign):
    key = b"AWS4" + secret.encode()
    for piece in scope.split("/"):
        key = hmac.new(key, piece.encode(), hashlib.sha256).digest()
    return hmac.new(key, string_to_sign.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def _from_header(request):
    text = request.header("authorization")
    if not text.startswith(ALGORITHM + " "):
        raise AuthError(400, "InvalidRequest", "Please use AWS4-HMAC-SHA256.")
    fields = {}
    for item in text[len(ALGORITHM) :].split(","):
        name, _, value = item.strip().partition("=")
        fields[name] = value
    if set(fields) != {"Credential", "SignedHeaders", "Signature"}:
        raise AuthError(400, "AuthorizationHeaderMalformed", "The authorization header is malformed.")
    return fields, request.header("x-amz-date"), request.header("x-amz-security-token")


def _from_query(request):
    query = request.query
    missing = [n for n in ("Credential", "Date", "Expires", "SignedHeaders", "Signature") if f"X-Amz-{n}" not in query]
    if missing or query.get("X-Amz-Algorithm") != ALGORITHM:
        raise AuthError(400, "AuthorizationQueryParametersError", f"Query-string authentication lacks {missing}")
    fields = {n: query[f"X-Amz-{n}"] for n in ("Credential", "SignedHeaders", "Signature")}
    expires = query["X-Amz-Expires"]
    if not expires.isdigit() or not 1 <= int(expires) <= PRESIGNED_MAX_SECONDS:
        raise AuthError(400, "AuthorizationQueryParametersError", "X-Amz-Expires must be from 1 to 604800")
    return fields, query["X-Amz-Date"], query.get("X-Amz-Security-Token")


def _check_time(stamp, now, expires):
    then = parse_iso(stamp)
    if expires is not None:
        if now > then + expires:
            raise AuthError(403, "AccessDenied", "Request has expired", Expires=iso_time(then + expires))
        if then > now + SKEW_SECONDS:
            raise AuthError(403, "AccessDenied", "Request is not valid yet")
    elif abs(then - now) > SKEW_SECONDS:
        raise AuthError(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is " "too large.",
            RequestTime=stamp,
            ServerTime=iso_time(now),
            MaxAllowedSkewMilliseconds=str(SKEW_SECONDS * 1000),
        )


def _check_signed_headers(request, signed, presigned):
    """Everything that AWS wants signed is signed; everything said to be signed is there."""
    if signed != sorted(signed) or "host" not in signed:
        raise AuthError(400, "AuthorizationHeaderMalformed", "SignedHeaders must be sorted and hold host")
    wanted = [n for n in request.by_name if n.startswith("x-amz-") or n in ("content-type", "content-md5")]
    left_out = sorted(set(wanted) - set(signed))
    if left_out and not (presigned and left_out == ["x-amz-content-sha256"]):
        raise AuthError(
            403,
            "AccessDenied",
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(left_out),
        )
    absent = [n for n in signed if n not in request.by_name]
    if absent:
        raise AuthError(403, "SignatureDoesNotMatch", f"signed, but not in the request: {', '.join(absent)}")


def verify(request, service, keys, now, body_sha256=None):
    """Gives a Verdict or raises AuthError. `keys`: access key -> Key.

    `body_sha256` is for services other than s3, whose canonical request has the body's own digest; for s3 it is
    what x-amz-content-sha256 says, and to compare that with the body is left to the caller."""
    presigned = "X-Amz-Signature" in request.query
    if not presigned and request.header("authorization") is None:
        raise AuthError(403, "AccessDenied", "Access Denied")
    fields, stamp, token = _from_query(request) if presigned else _from_header(request)
    access_key, _, scope = fields["Credential"].partition("/")
    parts = scope.split("/")
    if len(parts) != 4 or parts[3] != "aws4_request" or parts[2] != service:
        raise AuthError(
            400,
            "AuthorizationHeaderMalformed",
            f"The authorization header is malformed; the scope must be DATE/REGION/{service}/aws4_request.",
        )
    if parts[0] != (stamp or "")[:8]:
        raise AuthError(400, "AuthorizationHeaderMalformed", "The scope's date differs from the request's.")
    key = keys.get(access_key)
    if key is None:
        raise AuthError(
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            AWSAccessKeyId=access_key,
        )
    _check_time(stamp, now, int(request.query["X-Amz-Expires"]) if presigned else None)

    signed = fields["SignedHeaders"].split(";")
    _check_signed_headers(request, signed, presigned)
    if presigned:
        payload = UNSIGNED
    elif service == "s3":
        payload = request.header("x-amz-content-sha256")
        if payload is None:
            raise AuthError(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    else:
        payload = body_sha256
    canonical = canonical_request(request, service, signed, payload)
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    string_to_sign = "\n".join((ALGORITHM, stamp, scope, digest))
    if not hmac.compare_digest(signature(key.secret_key, scope, string_to_sign), fields["Signature"]):
        raise AuthError(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature "
            "you provided. Check your key and signing method.",
            AWSAccessKeyId=access_key,
            StringToSign=string_to_sign,
            SignatureProvided=fields["Signature"],
            CanonicalRequest=canonical,
        )
    if token != key.token:
        raise AuthError(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
    return Verdict(key, parts[1], presigned, payload, signed)
