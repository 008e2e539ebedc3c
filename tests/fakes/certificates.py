"""A private CA and a server's certificate for loopback names, by the openssl program."""

import collections
import os
import subprocess

NAMES = ("localhost", "s3.localhost", "*.s3.localhost", "s3.test", "*.s3.test", "*.blob.localhost")
Certificates = collections.namedtuple("Certificates", "ca certificate key")


def _openssl(directory, *arguments):
    done = subprocess.run(["openssl", *arguments], cwd=directory, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr}")


def make_certificates(directory):
    """ca.pem, server.pem, server.key in `directory`; those that are there already stay."""
    made = Certificates(*(os.path.join(directory, name) for name in ("ca.pem", "server.pem", "server.key")))
    if all(os.path.exists(path) for path in made):
        return made
    os.makedirs(directory, exist_ok=True)
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    _openssl(
        directory,
        "req",
        "-x509",
        *new_key,
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-days",
        "30",
        "-subj",
        "/CN=throw-away CA",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
    )
    names = ",".join([f"DNS:{name}" for name in NAMES] + ["IP:127.0.0.1", "IP:::1"])
    _openssl(
        directory,
        "req",
        "-x509",
        *new_key,
        "-keyout",
        "server.key",
        "-out",
        "server.pem",
        "-days",
        "30",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-subj",
        "/CN=localhost",
        "-addext",
        f"subjectAltName={names}",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-addext",
        "extendedKeyUsage=serverAuth",
    )
    os.unlink(os.path.join(directory, "ca.key"))
    return made
