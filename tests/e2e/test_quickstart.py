"""deploy/quickstart in a folder whose name is everything a script dislikes: first run, second run, --down."""

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request

import pytest

from harness.system import REPOSITORY

QUICKSTART = os.path.join(REPOSITORY, "deploy", "quickstart")


@pytest.fixture
def folder(tmp):
    path = os.path.join(tmp, "a folder's ünusual name, long enough to leave no room for the path of a socket in it $HOME")
    yield path
    subprocess.run([QUICKSTART, "--dir", path, "--down"], capture_output=True, text=True)
    try:
        with open(os.path.join(path, "servers.path")) as f:
            servers = f.read().strip()
        if servers.startswith("/var/tmp/bm-quickstart-"):
            shutil.rmtree(servers)
    except FileNotFoundError:
        pass


def quickstart(*options):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BM_", "PG"))}
    done = subprocess.run([QUICKSTART, *options], capture_output=True, text=True, timeout=1200, env=env, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout + done.stderr


def processes_of(folder):
    with open(os.path.join(folder, "servers.path")) as f:
        servers = f.read().strip()
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                command = f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if servers in command or folder in command:
            found.append(command)
    return found


def ask_api(folder, told):
    """The page that it tells of is there, and its admin may log in; gives the address."""
    url = re.search(r"(http://127\.0\.0\.1:\d+)/docs ", told).group(1)
    with urllib.request.urlopen(f"{url}/docs", timeout=60) as page:
        assert b"swagger-ui" in page.read()
    with open(os.path.join(folder, "secrets", "admin-password")) as f:
        login = json.dumps({"username": "admin", "password": f.read()}).encode()
    request = urllib.request.Request(f"{url}/api/login", login, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["role"] == "admin"
    return url


def test_twice_and_down(folder, wait_for):
    code, told = quickstart("--dir", folder, "--size", "3")
    assert code == 0, told
    url = ask_api(folder, told)
    assert len(re.findall(r"completed", told)) >= 2, told
    assert len(set(re.findall(r"[0-9a-f]{64}|\b[0-9a-f]{12}\b", told))) >= 1, told
    restore = re.search(r"gunzip -c (.*) \| psql -q .*-d (\w+)", told)
    assert restore, told
    commands = "\n".join(line.strip() for line in told.splitlines() if re.match(r"\s+(export PGHOST|createdb|gunzip -c|psql -d)", line))
    done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", commands], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.split()[2] == "6600", f"{commands}\n{done.stdout}{done.stderr}"

    # as after a power cut: a pid file whose process is gone
    with open(os.path.join(folder, "worker.pid")) as f:
        os.kill(int(f.read()), signal.SIGKILL)
    wait_for(lambda: not [command for command in processes_of(folder) if "backup-worker" in command])
    code, told = quickstart("--dir", folder, "--size", "3")
    assert code == 0 and "No such file" not in told, told
    for program in ("backup-worker", "backup-api"):
        running = [command for command in processes_of(folder) if program in command]
        assert len(running) == 1, running
    assert ask_api(folder, told) == url

    code, told = quickstart("--dir", folder, "--down")
    assert code == 0, told
    assert processes_of(folder) == []
    assert quickstart("--dir", folder, "--down")[0] == 0  # nothing left to stop is no mistake


def test_usage():
    assert quickstart("--help")[0] == 0
    for wrong in (["--frob"], ["--dir"], ["--size", "many"]):
        code, told = quickstart(*wrong)
        assert code == 2 and wrong[0] in told
    code, told = quickstart("--dir", "/proc/nowhere")
    assert code == 1 and "/proc/nowhere" in told
    code, told = quickstart("--dir", "/nowhere/at/all", "--down")
    assert code == 1 and not os.path.exists("/nowhere")
