"""Azurite, Microsoft's emulator of Azure Blob Storage, from tests/peers: written by others, verifies signatures.

One process serves http or https, not both; each has a directory and a free port of its own, and dies with the process
that started it (PDEATHSIG). What it does otherwise than Azure is in README.md.
"""

import os
import subprocess
import time

from fakes.certificates import make_certificates
from harness import processes
from harness.azure_endpoint import AzureEndpoint
from harness.node import program
from harness.servers import free_port

# published by Microsoft; the same in every Azurite
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
OTHER_ACCOUNT = "otheraccount"
OTHER_KEY = "YSB0aHJvdy1hd2F5IGtleSBmb3IgdGhlIG90aGVyIGFjY291bnQ="


class Azurite(AzureEndpoint):
    """Its place is known once it has started."""

    def __init__(self, root, tls=False):
        super().__init__("", ACCOUNT, KEY)
        self.root = root
        self.options = []
        if tls:
            made = make_certificates(os.path.join(root, "tls"))
            self.ca_file = made.ca
            self.options = ["--cert", made.certificate, "--key", made.key, "--oauth", "basic"]
        self.popen = None

    def start(self):
        os.makedirs(self.root, exist_ok=True)
        for _ in range(5):
            if self._start():
                return self
        raise AssertionError(self.log())

    def _start(self):
        """False when the port has been taken meanwhile."""
        port = free_port()
        argv, environment = program("node_modules/azurite/dist/src/blob/main.js")
        environment["AZURITE_ACCOUNTS"] = f"{ACCOUNT}:{KEY};{OTHER_ACCOUNT}:{OTHER_KEY}"
        argv += ["--blobPort", str(port), "--location", self.root, "--silent", "--disableTelemetry", *self.options]
        with open(self._log_path(), "wb") as out:
            self.popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv],
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        processes.long_lived.add(self.popen.pid)
        scheme = "https" if self.tls else "http"
        self.url = f"{scheme}://127.0.0.1:{port}/{ACCOUNT}"
        self.other_url = f"{scheme}://127.0.0.1:{port}/{OTHER_ACCOUNT}"
        end = time.monotonic() + 120
        while "successfully listens" not in self.log():
            if self.popen.poll() is not None:
                if "EADDRINUSE" in self.log():
                    self.stop()
                    return False
                raise AssertionError(f"Azurite ended:\n{self.log()}")
            assert time.monotonic() < end, f"Azurite doesn't start:\n{self.log()}"
            time.sleep(0.05)
        return True

    def _log_path(self):
        return os.path.join(self.root, "azurite.out")

    def log(self):
        with open(self._log_path(), errors="replace") as f:
            return f.read()[-4000:]

    def stop(self):
        """At once: nothing here outlives it."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()
            processes.long_lived.discard(self.popen.pid)
