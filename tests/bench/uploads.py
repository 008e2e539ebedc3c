"""Uploads to an S3 server that throws bodies away, beside curl and rclone."""

import json
import os
import subprocess

from lab import cpu_seconds, median, spread, stop, table

MIB = 1 << 20

# What rclone can leave out: one PUT without sums, no questions before and after. Its cheapest way.
RCLONE_CHEAPEST = ("--s3-upload-cutoff=5G", "--s3-disable-checksum", "--ignore-checksum", "--s3-no-head",
                   "--s3-no-check-bucket")  # fmt: skip

# What AWS's own endpoints take and the driver assumes of no other: CRC32C, and writes only where nothing stands.
AS_AWS = {"checksum": "crc32c", "conditional_write": True}


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
    def command(self, lab, sink, files):
        argv = ["rclone", *self.arguments, "copy", os.path.dirname(files[0]), "sink:bucket/prefix"]
        return argv + (["--ca-cert", certificate(lab)[0]] if sink.tls else [])

    def environment(self, lab, sink):
        remote = {"TYPE": "s3", "PROVIDER": "Other", "ENV_AUTH": "false", "ACCESS_KEY_ID": "bench",
                  "SECRET_ACCESS_KEY": "throw-away", "ENDPOINT": sink.url}  # fmt: skip
        return {**super().environment(lab, sink), "RCLONE_CONFIG": "/dev/null",
                **{f"RCLONE_CONFIG_SINK_{k}": v for k, v in remote.items()}}  # fmt: skip


class Ours(Client):
    """s3: with what the driver assumes of AWS's own endpoints, told it by the configuration since this one is none.
    spaces: as it comes."""

    peer = False

    def __init__(self, name, *arguments, storage_type="s3", **config):
        super().__init__(name, "--type", storage_type, *arguments)
        self.config = {**(AS_AWS if storage_type == "s3" else {}), **config}

    def command(self, lab, sink, files):
        return [lab.program("tests", "bench", "bench_upload"), "put", digests(lab, files), *self.arguments,
                "--config", json.dumps({**destination_config(lab, sink), **self.config}), "prefix/", *files]  # fmt: skip

    def environment(self, lab, sink):
        return {**super().environment(lab, sink), "BENCH_CREDENTIALS": "bench:throw-away"}


def destination_config(lab, sink):
    config = {"bucket": "bucket", "region": "us-east-1", "endpoint": sink.url}
    if sink.tls:
        config["ca_file"] = certificate(lab)[0]
    return config


# ---- files


def make_files(lab, name, n, size, one_content=False):
    """n files of random bytes. one_content: links to one, so that it stays in the page cache."""
    directory = lab.path(os.path.join("uploads", name))
    paths = [os.path.join(directory, f"{name}-{i:04}") for i in range(n)]
    if not os.path.isdir(directory):
        os.makedirs(directory)
        for path in paths:
            if one_content and path != paths[0]:
                os.link(paths[0], path)
                continue
            with open(path, "wb") as out:
                for at in range(0, size, MIB):
                    out.write(os.urandom(min(MIB, size - at)))
    return paths


def digests(lab, files):
    """What staging leaves beside artifacts, made once."""
    directory = os.path.dirname(files[0]) + ".digests"
    if not os.path.isdir(directory):
        os.makedirs(directory)
        out = subprocess.run([lab.program("tests", "bench", "bench_upload"), "digest", directory, *files], check=True,
                             stdout=subprocess.PIPE, text=True).stdout  # fmt: skip
        cost = json.loads(out)
        print(f"  digests that staging makes (SHA-256 of the whole and of each part, CRC32C) of {len(files)} files: "
              f"{cost['cpu'] * 1e9 / cost['bytes']:.2f} CPU s per GB, not in the figures below")  # fmt: skip
    return directory


# ---- runs


def warm(files):
    """Into the page cache, from which some machines take what nobody has used for a while."""
    buffer = bytearray(MIB)
    for path in {os.stat(path).st_ino: path for path in files}.values():
        with open(path, "rb", buffering=0) as f:
            while f.readinto(buffer):
                pass


def run_client(lab, client, tls, files):
    warm(files)
    sink = Sink(lab, tls)
    report = lab.path("meter.json")
    argv = [lab.program("tests", "bench", "bench_meter"), report, *client.command(lab, sink, files)]
    done = subprocess.run(argv, env=client.environment(lab, sink), capture_output=True, text=True, timeout=900)
    sink.stop()
    assert done.returncode == 0, f"{client.name} ended with {done.returncode}:\n{done.stderr[-2000:]}"
    sent = sum(os.path.getsize(path) for path in files)
    assert sink.counts["bytes"] >= sent and sink.counts["uploads_open"] == 0, (client.name, sink.counts)
    with open(report) as f:
        use = json.load(f)
    result = {"wall": use["wall"], "cpu": use["user"] + use["system"], "peak": use["peak_kib"] / 1024,
              "sink": sink.cpu, "counts": sink.counts, "gb": sent / 1e9, "files": len(files)}  # fmt: skip
    if lab.options.verbose:
        print(f"    {client.name}: {result}")
    return result


def run_rounds(lab, clients, tls, files, repeat):
    """{client's name: its runs}. Rounds of one run of each, after a round of ours that isn't counted."""
    runs = {client.name: [] for client in clients}
    for number in range(-1, repeat):
        for client in clients:
            if number >= 0:
                runs[client.name].append(run_client(lab, client, tls, client.files or files))
            elif not client.peer:
                run_client(lab, client, tls, files)
    return runs


def values(runs, name):
    return [run[name] for run in runs]


def per_gb(runs):
    return median([run["cpu"] / run["gb"] for run in runs])


def requests(counts):
    kinds = ("put", "create", "part", "complete", "abort", "head", "list", "bucket", "delete", "other")
    said = ", ".join(f"{counts[kind]:,} {kind}" for kind in kinds if counts[kind])
    return f"{said}; {counts['connections']} connections" + (", 100-continue" if counts["expected_continue"] else "")


def print_requests(all_runs):
    for name, runs in all_runs.items():
        print(f"    {name}: {requests(runs[-1]['counts'])}")


def only(options, clients):
    return [c for c in clients if not (c.peer and options.no_peer)]


def times(a, b):
    return f"{a / b:.2f}x"


def one_large(lab, options, tls):
    files = make_files(lab, "large", 1, options.upload_mib * MIB)
    quarters = make_files(lab, "quarter", 4, options.upload_mib * MIB // 4)
    clients = only(options, [
        Curl("curl -T"),
        Curl("curl -T, 4 quarters at once", "--parallel", files=quarters),
        Ours("ours, s3"),
        Ours("ours, s3, no part digests", "--no-part-digests"),
        Ours("ours, spaces", storage_type="spaces"),
        Ours("ours, spaces, no part digests", "--no-part-digests", storage_type="spaces"),
        Rclone("rclone"),
        Rclone("rclone, its cheapest", *RCLONE_CHEAPEST),
    ])  # fmt: skip
    runs = run_rounds(lab, clients, tls, files, options.repeat)
    print(f"\n  one file of {options.upload_mib} MiB, {'TLS' if tls else 'plain'}")
    curl = per_gb(runs["curl -T"]) if "curl -T" in runs else None
    table(["", "wall s", "CPU s", "CPU s/GB", "to curl", "peak MiB", "sink CPU s"],
          [[name, spread(values(r, "wall"), 2), spread(values(r, "cpu"), 2), f"{per_gb(r):.2f}",
            times(per_gb(r), curl) if curl else "-", f"{median(values(r, 'peak')):.1f}",
            f"{median(values(r, 'sink')):.2f}"] for name, r in runs.items()])  # fmt: skip
    print_requests(runs)


def many_small(lab, options, tls):
    files = make_files(lab, "small", options.upload_files, 64 * 1024)
    clients = only(options, [
        Curl("curl, one after another"),
        Curl("curl --parallel, 16", "--parallel", "--parallel-max", "16"),
        *(Ours(f"ours, s3, {n} at once", "--at-once", str(n)) for n in (4, 16, 32)),
        Ours("ours, spaces, 16 at once", "--at-once", "16", storage_type="spaces"),
        Rclone("rclone (4 at once)"),
        Rclone("rclone --transfers 32", "--transfers", "32"),
    ])  # fmt: skip
    runs = run_rounds(lab, clients, tls, files, options.repeat)
    print(f"\n  {options.upload_files:,} files of 64 KiB, {'TLS' if tls else 'plain'}")
    rate = {name: [run["files"] / run["wall"] for run in r] for name, r in runs.items()}
    rclone = max((median(v) for name, v in rate.items() if name.startswith("rclone")), default=None)
    table(["", "files/s", "to rclone's best", "CPU ms/file", "peak MiB", "sink CPU s"],
          [[name, spread(rate[name]), times(median(rate[name]), rclone) if rclone else "-",
            f"{1000 * median(values(r, 'cpu')) / options.upload_files:.3f}", f"{median(values(r, 'peak')):.1f}",
            f"{median(values(r, 'sink')):.2f}"] for name, r in runs.items()])  # fmt: skip
    print_requests(runs)


def many_at_once(lab, options, tls):
    files = make_files(lab, "big", 32, options.upload_mib * MIB // 4, one_content=True)
    clients = only(options, [
        Curl("curl --parallel, 32", "--parallel", "--parallel-max", "32"),
        Ours("ours, s3, 32 at once", "--at-once", "32"),
        Ours("ours, s3, 32 at once, parts of 128 MiB", "--at-once", "32", part_size="128MiB"),
        Ours("ours, spaces, 32 at once", "--at-once", "32", storage_type="spaces"),
        Rclone("rclone --transfers 32", "--transfers", "32"),
    ])  # fmt: skip
    runs = run_rounds(lab, clients, tls, files, 1)
    print(f"\n  32 files of {options.upload_mib // 4} MiB at once, {'TLS' if tls else 'plain'}, one run each")
    table(["", "peak MiB", "wall s", "CPU s/GB", "sink CPU s"],
          [[name, f"{max(values(r, 'peak')):.1f}", f"{median(values(r, 'wall')):.1f}", f"{per_gb(r):.2f}",
            f"{median(values(r, 'sink')):.2f}"] for name, r in runs.items()])  # fmt: skip
    print_requests(runs)


PARTS = {"large": one_large, "small": many_small, "memory": many_at_once}


def versions():
    def first(*argv):
        return " ".join(subprocess.run(argv, capture_output=True, text=True).stdout.splitlines()[0].split()[:2])
    return f"{first('curl', '--version')}, {first('rclone', 'version')}"


def bench_uploads(lab, options):
    """uploads by the S3 driver to a server that throws bodies away, beside curl -T and rclone copy"""
    print(f"""  Clients: {'ours only' if options.no_peer else versions()}. The server (bench_sink, on 127.0.0.1) drops what it
  gets: over plain HTTP inside the kernel, over TLS (1.3, AES-128-GCM for all) after decryption; its own CPU stands in the last
  column. It runs on the same processors. Every run has a server of its own; files are read into the page cache before; {options.repeat} rounds, one
  run of each client in turn: median [smallest..largest]. CPU is the client's whole process, user and system, start included; peak
  is its VmHWM. curl signs nothing and sums nothing; rclone runs with its default checks (it sends Content-MD5 and gets it back as
  the ETag) unless said otherwise. Ours signs every request, and sends what a worker sends: part digests are there from staging
  (s3: CRC32C and SHA-256; spaces: Content-MD5, which is always made while uploading: MD5 alone is 1.5 s per GB).""")
    os.makedirs(lab.path("home"), exist_ok=True)
    for name in options.uploads:
        for tls in (False, True):
            PARTS[name](lab, options, tls)
