"""Programs of tests/peers in node: where they are, and an environment with nothing of this machine's in it."""

import os
import shutil

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
