"""Benchmarks: see README.md. Started by ./run, which installs and builds."""

import argparse
import os
import platform
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import details  # noqa: E402
import dispatch  # noqa: E402
import downloads  # noqa: E402
import idle  # noqa: E402
import migration  # noqa: E402
import stores  # noqa: E402
import uploads  # noqa: E402
from clients import STORES  # noqa: E402
from lab import REPOSITORY, Lab  # noqa: E402


def bench_copies(lab, options):
    """copies to a disk beside cp and fsync; many small files"""
    directory = lab.path("copies")
    os.makedirs(directory)
    subprocess.run([lab.program("tests", "bench", "bench_disk"), directory, "--size", str(options.copy_mib), "--rounds",
                    str(options.repeat), "--small", str(options.small_files)], check=True)  # fmt: skip


def bench_gzip(lab, options):
    """compression of an artifact beside zlib's level 1"""
    subprocess.run([lab.program("tests", "bench", "bench_gzip"), "--rounds", str(options.repeat)], check=True)


BENCHES = {
    "dispatch": dispatch.bench_dispatch,
    "queued": dispatch.bench_queued,
    "idle": idle.bench_idle,
    "latency": idle.bench_latency,
    "copies": bench_copies,
    "gzip": bench_gzip,
    "uploads": uploads.bench_uploads,
    "stores": stores.bench_stores,
    "details": details.bench_details,
    "downloads": downloads.bench_downloads,
    "migration": migration.bench_migration,
}


def numbers(text):
    return [int(float(part)) for part in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(
        prog="tests/bench/run", formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="; ".join(f"{name}: {run.__doc__}" for name, run in BENCHES.items()))  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all when none is given")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions; medians are printed")
    parser.add_argument("--jobs", type=int, default=30000, help="jobs in each repetition of dispatch")
    parser.add_argument("--peer-jobs", type=int, default=6000, help="the same for BullMQ")
    parser.add_argument("--concurrency", type=numbers, default="16,64", help="jobs in flight")
    parser.add_argument("--queued", type=numbers, default="1e2,1e4,1e6", help="jobs that wait meanwhile")
    parser.add_argument("--idle-seconds", type=int, default=60, help="how long idle workers are watched")
    parser.add_argument("--latency-jobs", type=int, default=300, help="jobs pushed one at a time")
    parser.add_argument("--copy-mib", type=int, default=1024, help="size of the copied file")
    parser.add_argument("--small-files", type=int, default=5000, help="files of 64 KiB")
    parser.add_argument("--uploads", type=lambda text: text.split(","), default=",".join(uploads.PARTS),
                        help="parts of the upload benchmark")  # fmt: skip
    parser.add_argument("--to", type=lambda text: text.split(","), default=",".join(STORES),
                        help="stores of uploads and stores")  # fmt: skip
    parser.add_argument("--upload-mib", type=int, default=1024, help="size of the uploaded file")
    parser.add_argument("--upload-files", type=int, default=2000, help="uploaded files of 64 KiB")
    parser.add_argument("--backups", type=int, default=100000, help="of the database whose page is asked for")
    parser.add_argument("--connections", type=numbers, default="1,16", help="clients of the page at once")
    parser.add_argument("--download-mib", type=int, default=512, help="size of the downloaded copy")
    parser.add_argument("--downloads", type=numbers, default="1,8", help="downloads at once")
    parser.add_argument("--old-backups", type=int, default=1000000, help="of the older system, to be migrated")
    parser.add_argument("--no-peer", action="store_true", help="without BullMQ, curl, rclone and FastAPI")
    parser.add_argument("--dir", default=os.environ.get("BM_TEST_DIR", "/tmp"), help="where the servers keep data")
    parser.add_argument("--build", default=os.path.join(REPOSITORY, "build", "release"), help="build directory")
    parser.add_argument("--postgres-setting", action="append", metavar="NAME=VALUE", help="for experiments")
    parser.add_argument("--profile", action="store_true", help="dispatch: where PostgreSQL's time goes, by statement")
    parser.add_argument("--keep", action="store_true", help="keep the directory of the servers")
    parser.add_argument("--verbose", action="store_true", help="every repetition's figures")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHES]
    if unknown:
        parser.error(f"no benchmark named {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    return options


def about(options):
    def first(argv):
        try:
            return subprocess.run(argv, capture_output=True, text=True).stdout.splitlines()[0].strip()
        except (OSError, IndexError):
            return "?"

    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")), "?")
    commit = first(["git", "-C", REPOSITORY, "rev-parse", "--short", "HEAD"])
    print(f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, commit {commit}, {os.cpu_count()} x {model}, "
          f"Linux {platform.release()}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"data under {options.dir} ({first(['stat', '-f', '-c', '%T', options.dir])}), "
          f"{fsyncs_per_second(options.dir):,.0f} fsyncs of 8 KiB a second")  # fmt: skip


def fsyncs_per_second(directory):
    path = os.path.join(directory, f".bench-fsync-{os.getpid()}")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(fd, b"\0" * 8192, 0)
        os.fsync(fd)
        start, n = time.monotonic(), 0
        while time.monotonic() - start < 0.5:
            os.pwrite(fd, b"\1" * 8192, 0)
            os.fdatasync(fd)
            n += 1
        return n / (time.monotonic() - start)
    finally:
        os.close(fd)
        os.unlink(path)


def main():
    options = arguments()
    sys.stdout.reconfigure(line_buffering=True)
    about(options)
    lab = Lab(options)
    try:
        for name in options.names or BENCHES:
            print(f"\n{name}: {BENCHES[name].__doc__}")
            BENCHES[name](lab, options)
    finally:
        lab.close()


main()
