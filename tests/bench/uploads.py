"""Uploads to a server that throws bodies away, as S3, Azure Blob Storage and Google Cloud Storage, beside curl and
rclone."""

import json
import os
import subprocess

from clients import STORES, Curl, Ours, Rclone, Sink
from lab import median, spread, table

MIB = 1 << 20

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


def without_staging(store):
    """Ours where staging hasn't made, or a destination can't use, what the driver needs."""
    if store.staged_md5:
        yield Ours(f"ours, {store.name}, MD5 not staged", store, staged_md5=False)
    yield Ours(f"ours, {store.name}, no part digests", store, "--no-part-digests")


def spaces(store, said, *arguments):
    """Another type of the S3 driver, one whose store wants MD5."""
    if store.name == "s3":
        yield Ours(f"ours, spaces{said}", store, *arguments, storage_type="spaces")


def large_pieces(store):
    """Parts that staging has no digests of. gcs has no parts."""
    if store.name != "gcs":
        yield Ours(f"ours, {store.name}, 32 at once, parts of 128 MiB", store, "--at-once", "32", part_size="128MiB")


def print_head(what, store, tls):
    print(f"\n  {what}, {store.name}, {'TLS' if tls else 'plain'}")


def one_large(lab, options, store, tls):
    files = make_files(lab, "large", 1, options.upload_mib * MIB)
    quarters = make_files(lab, "quarter", 4, options.upload_mib * MIB // 4)
    clients = only(options, [
        Curl("curl -T"),
        Curl("curl -T, 4 quarters at once", "--parallel", files=quarters),
        Ours(f"ours, {store.name}", store),
        *without_staging(store),
        *spaces(store, ""),
        *spaces(store, ", no part digests", "--no-part-digests"),
        Rclone("rclone", store),
        Rclone("rclone, its cheapest", store, *store.rclone_cheapest),
    ])  # fmt: skip
    runs = run_rounds(lab, clients, tls, files, options.repeat)
    print_head(f"one file of {options.upload_mib} MiB", store, tls)
    curl = per_gb(runs["curl -T"]) if "curl -T" in runs else None
    table(["", "wall s", "CPU s", "CPU s/GB", "to curl", "peak MiB", "sink CPU s"],
          [[name, spread(values(r, "wall"), 2), spread(values(r, "cpu"), 2), f"{per_gb(r):.2f}",
            times(per_gb(r), curl) if curl else "-", f"{median(values(r, 'peak')):.1f}",
            f"{median(values(r, 'sink')):.2f}"] for name, r in runs.items()])  # fmt: skip
    print_requests(runs)


def many_small(lab, options, store, tls):
    files = make_files(lab, "small", options.upload_files, 64 * 1024)
    clients = only(options, [
        Curl("curl, one after another"),
        Curl("curl --parallel, 16", "--parallel", "--parallel-max", "16"),
        *(Ours(f"ours, {store.name}, {n} at once", store, "--at-once", str(n)) for n in (4, 16, 32)),
        *spaces(store, ", 16 at once", "--at-once", "16"),
        Rclone("rclone (4 at once)", store),
        Rclone("rclone --transfers 32", store, "--transfers", "32"),
    ])  # fmt: skip
    runs = run_rounds(lab, clients, tls, files, options.repeat)
    print_head(f"{options.upload_files:,} files of 64 KiB", store, tls)
    rate = {name: [run["files"] / run["wall"] for run in r] for name, r in runs.items()}
    rclone = max((median(v) for name, v in rate.items() if name.startswith("rclone")), default=None)
    table(["", "files/s", "to rclone's best", "CPU ms/file", "peak MiB", "sink CPU s"],
          [[name, spread(rate[name]), times(median(rate[name]), rclone) if rclone else "-",
            f"{1000 * median(values(r, 'cpu')) / options.upload_files:.3f}", f"{median(values(r, 'peak')):.1f}",
            f"{median(values(r, 'sink')):.2f}"] for name, r in runs.items()])  # fmt: skip
    print_requests(runs)


def many_at_once(lab, options, store, tls):
    files = make_files(lab, "big", 32, options.upload_mib * MIB // 4, one_content=True)
    clients = only(options, [
        Curl("curl --parallel, 32", "--parallel", "--parallel-max", "32"),
        Ours(f"ours, {store.name}, 32 at once", store, "--at-once", "32"),
        *large_pieces(store),
        *spaces(store, ", 32 at once", "--at-once", "32"),
        Rclone("rclone --transfers 32", store, "--transfers", "32"),
    ])  # fmt: skip
    runs = run_rounds(lab, clients, tls, files, 1)
    print_head(f"32 files of {options.upload_mib // 4} MiB at once, one run each", store, tls)
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
    """uploads by the drivers of object stores to a server that throws bodies away, beside curl -T and rclone copy"""
    print(f"""  Clients: {'ours only' if options.no_peer else versions()}. The server (bench_sink, on 127.0.0.1) drops what it
  gets: over plain HTTP inside the kernel, over TLS (1.3, AES-128-GCM for all) after decryption; its own CPU stands in the last
  column. It runs on the same processors. Every run has a server of its own; files are read into the page cache before; {options.repeat} rounds, one
  run of each client in turn: median [smallest..largest]. CPU is the client's whole process, user and system, start included; peak
  is its VmHWM. curl signs nothing and sums nothing (its PUT is S3's in all tables); rclone runs with its default checks unless
  said otherwise. Ours signs every request (gcs: a token that is there), and sends what a worker sends: part digests are there
  from staging (s3: CRC32C and SHA-256; azure: CRC-64 of each part and MD5 of the whole; gcs: CRC32C; spaces: Content-MD5, which is
  always made while uploading: MD5 alone is 1.5 s per GB).""")
    os.makedirs(lab.path("home"), exist_ok=True)
    for name in options.uploads:
        for store in options.to:
            for tls in (False, True):
                PARTS[name](lab, options, STORES[store], tls)
