"""Programs of tests/peers in node: where they are, an environment with nothing of this machine's in it, and clients that are
driven line by line (peers/lines.js)."""

import base64
import datetime
import json
import os
import shutil
import subprocess
import threading

from harness import processes

PEERS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "peers")


def program(path):
    """(argv, environment) of a script under tests/peers."""
    node = shutil.which("node")
    assert node, "node is missing; run: deploy/packages/install test"
    assert os.path.exists(os.path.join(PEERS, "node_modules")), "the tests' peers are missing; run: tests/peers/install"
    foreign = ("AZURE_", "AZURITE_", "GOOGLE_", "NODE_", "npm_")
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(foreign) and not k.lower().endswith("_proxy")
    }
    return [node, os.path.join(PEERS, path)], environment


class Peer:
    """One node for all of this pytest process's clients of a kind: started when first asked, it ends with this process by
    the end of its stdin. Errors are raised as error({status, code, message})."""

    def __init__(self, script, error):
        self.script = script
        self.error = error
        self.lock = threading.Lock()
        self.popen = None

    def ask(self, request):
        with self.lock:
            if self.popen is None:
                self._start()
            self.popen.stdin.write(json.dumps(request, default=_encoded) + "\n")
            self.popen.stdin.flush()
            line = self.popen.stdout.readline()
        assert line, f"peers/{self.script} ended: {self.popen.wait(60)}"
        answer = json.loads(line, object_hook=_decoded)
        if "error" in answer:
            raise self.error(answer["error"])
        return answer.get("result")

    def _start(self):
        argv, environment = program(self.script)
        self.popen = subprocess.Popen(
            argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
        )
        processes.long_lived.add(self.popen.pid)


def _encoded(value):
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime.datetime):
        return {"$date": value.astimezone(datetime.timezone.utc).isoformat()}
    raise TypeError(f"{type(value).__name__} can't be sent to node")


def _decoded(value):
    if "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    if "$date" in value:
        return datetime.datetime.fromisoformat(value["$date"].replace("Z", "+00:00"))
    return value
