"""A server that throws bodies away, and the clients that send to it: curl, rclone, and our driver of each store."""

import base64
import json
import os
import subprocess

from lab import cpu_seconds, stop

class Sink:
    """bench_sink, fresh for each run of a client. `counts` once it has been stopped."""

    def __init__(self, lab, tls):
        self.tls = tls
        argv = [lab.program("tests", "bench", "bench_sink")]
        if tls:
            argv += ["--tls", *certificate(lab)[1:]]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        lab.processes.append(self.process)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{int(self.process.stdout.readline())}"

    def stop(self):
        self.cpu = cpu_seconds(self.process.pid)
        self.process.terminate()
        self.counts = json.loads(self.process.stdout.readline())
        stop(self.process)


def certificate(lab):
    """Of a private authority: paths of its certificate, the server's certificate and the server's key."""
    ca, ca_key, server, key = (lab.path(f"tls-{n}.pem") for n in ("ca", "ca-key", "server", "key"))
    if not os.path.exists(server):
        quiet = {"check": True, "capture_output": True}
        request, extensions = lab.path("tls-request.pem"), lab.path("tls-extensions")
        with open(extensions, "w") as f:
            f.write("subjectAltName=IP:127.0.0.1")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", ca_key, "-out", ca,
                        "-days", "2", "-subj", "/CN=bench", "-addext", "keyUsage=critical,keyCertSign"], **quiet)  # fmt: skip
        subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj",
                        "/CN=sink"], **quiet)  # fmt: skip
        subprocess.run(["openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
                        "-out", server, "-days", "2", "-extfile", extensions], **quiet)  # fmt: skip
    return ca, server, key


# ---- stores: what our driver and rclone are told of the sink as one of them


def ca(lab, sink):
    return {"ca_file": certificate(lab)[0]} if sink.tls else {}


class S3:
    """s3: with what the driver assumes of AWS's own endpoints, told it by the configuration since this one is none
    (CRC32C, and writes only where nothing stands). Other types: as they come."""

    name, storage_type = "s3", "s3"
    staged_md5 = False
    credentials = "bench:throw-away"

    # What rclone can leave out: sums, questions before and after, several requests. Its cheapest way.
    rclone_cheapest = ("--s3-upload-cutoff=5G", "--s3-disable-checksum", "--ignore-checksum", "--s3-no-head",
                       "--s3-no-check-bucket")  # fmt: skip

    @staticmethod
    def config(lab, sink, container="bucket", storage_type="s3"):
        as_aws = {"checksum": "crc32c", "conditional_write": True} if storage_type == "s3" else {}
        return {"bucket": container, "region": "us-east-1", "endpoint": sink.url, **as_aws, **ca(lab, sink)}

    @staticmethod
    def rclone(sink):
        return {"TYPE": "s3", "PROVIDER": "Other", "ENV_AUTH": "false", "ACCESS_KEY_ID": "bench",
                "SECRET_ACCESS_KEY": "throw-away", "ENDPOINT": sink.url}  # fmt: skip


class Azure:
    """As towards Azure itself: CRC-64 with each block, the whole's MD5 kept, Shared Key."""

    name, storage_type = "azure", "azure_blob"
    staged_md5 = True
    credentials = base64.b64encode(b"throw-away" * 6).decode()
    rclone_cheapest = ("--azureblob-disable-checksum", "--ignore-checksum", "--azureblob-upload-concurrency=4")

    @staticmethod
    def config(lab, sink, container="bucket", storage_type="azure_blob"):
        return {"container": container, "endpoint": f"{sink.url}/bench", **ca(lab, sink)}

    @staticmethod
    def rclone(sink):
        return {"TYPE": "azureblob", "USE_EMULATOR": "true", "ENDPOINT": f"{sink.url}/devstoreaccount1"}


class Gcs:
    """As towards Google itself, with a token that is there."""

    name, storage_type = "gcs", "gcs"
    staged_md5 = False
    credentials = json.dumps({"access_token": "throw-away", "expires_at": "2100-01-01T00:00:00Z"})
    rclone_cheapest = ("--ignore-checksum", "--gcs-no-check-bucket")

    @staticmethod
    def config(lab, sink, container="bucket", storage_type="gcs"):
        return {"bucket": container, "endpoint": sink.url, **ca(lab, sink)}

    @staticmethod
    def rclone(sink):
        return {"TYPE": "google cloud storage", "ANONYMOUS": "true", "ENDPOINT": f"{sink.url}/storage/v1/"}


STORES = {store.name: store for store in (S3, Azure, Gcs)}

# ---- clients: each gives the command line that sends these files to this sink


class Client:
    peer = True

    def __init__(self, name, *arguments, files=None):
        self.name, self.arguments, self.files = name, list(arguments), files  # files: instead of those of the others

    def environment(self, lab, sink):
        # Nothing of the caller's: no proxies, no profiles, no configuration files.
        return {"PATH": os.environ["PATH"], "HOME": lab.path("home"), "LANG": "C.UTF-8"}


class Curl(Client):
    """No signature, no digest: what sending the bytes costs. Many files: one process over a list."""

    def command(self, lab, sink, files):
        argv = ["curl", "--silent", "--show-error", "--fail", "--no-progress-meter", *self.arguments]
        if sink.tls:
            argv += ["--cacert", certificate(lab)[0]]
        if len(files) == 1:
            return [*argv, "-T", files[0], f"{sink.url}/bucket/{os.path.basename(files[0])}"]
        with open(lab.path("curl.list"), "w") as out:
            for path in files:
                out.write(f'upload-file = "{path}"\nurl = "{sink.url}/bucket/{os.path.basename(path)}"\n')
        return [*argv, "--config", lab.path("curl.list")]


class Rclone(Client):
    def __init__(self, name, store, *arguments):
        super().__init__(name, *arguments)
        self.store = store

    def command(self, lab, sink, files, container="bucket"):
        argv = ["rclone", *self.arguments, "copy", os.path.dirname(files[0]), f"sink:{container}/prefix"]
        return argv + (["--ca-cert", certificate(lab)[0]] if sink.tls else [])

    def environment(self, lab, sink):
        return {**super().environment(lab, sink), "RCLONE_CONFIG": "/dev/null",
                **{f"RCLONE_CONFIG_SINK_{k}": v for k, v in self.store.rclone(sink).items()}}  # fmt: skip


class Ours(Client):
    """The driver of a store's storage type, or of another type of the same driver. staged_md5 False: where no worker
    has made the whole's MD5."""

    peer = False

    def __init__(self, name, store, *arguments, storage_type=None, staged_md5=None, **config):
        self.store, self.storage_type = store, storage_type or store.storage_type
        super().__init__(name, "--type", self.storage_type, *arguments)
        self.staged_md5 = store.staged_md5 if staged_md5 is None else staged_md5
        self.config = config

    def command(self, lab, sink, files):
        config = {**self.store.config(lab, sink, storage_type=self.storage_type), **self.config}
        return [lab.program("tests", "bench", "bench_upload"), "put", digests(lab, files, self.staged_md5),
                *self.arguments, "--config", json.dumps(config), "prefix/", *files]  # fmt: skip

    def environment(self, lab, sink):
        return {**super().environment(lab, sink), "BENCH_CREDENTIALS": self.store.credentials}


def digests(lab, files, md5):
    """What staging leaves beside artifacts, made once."""
    directory = os.path.dirname(files[0]) + (".digests-md5" if md5 else ".digests")
    if not os.path.isdir(directory):
        os.makedirs(directory)
        argv = [lab.program("tests", "bench", "bench_upload"), "digest", directory, *(["--md5"] if md5 else []), *files]
        cost = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout)
        print(f"  digests that staging makes (SHA-256 of the whole and of each part, CRC32C, CRC-64"
              f"{', MD5 of the whole' if md5 else ''}) of {len(files)} files: "
              f"{cost['cpu'] * 1e9 / cost['bytes']:.2f} CPU s per GB, not in the figures below")  # fmt: skip
    return directory
