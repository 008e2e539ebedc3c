"""A mount that can be made to hang, as a network disk does whose server is gone: FUSE, in a process of its own.

    python3 -m harness.dead_mount MOUNTPOINT SWITCH     every question waits while the file SWITCH is there
"""

import errno
import os
import stat
import subprocess
import sys
import time

SIZE = 4242


def why_not():
    """What is missing to run one; None when nothing is."""
    try:
        import fusepy  # noqa: F401
    except ImportError:
        return "python3-fusepy is not installed"
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "needs root and /dev/fuse"
    return None


class DeadMount:
    """Any name below it that begins with "f" is a file of SIZE bytes, one with "d" a directory."""

    def __init__(self, path, wait_for):
        os.makedirs(path, exist_ok=True)
        self.path = path
        self.switch = path + ".hangs"
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "harness.dead_mount", path, self.switch],
            cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        )
        wait_for(lambda: os.path.ismount(path) or self.popen.poll() is not None)
        assert self.popen.poll() is None, "can't mount"

    def hang(self):
        open(self.switch, "w").close()

    def answer(self):
        if os.path.exists(self.switch):
            os.remove(self.switch)

    def is_asked(self):
        """Somebody waits for an answer, or has."""
        return os.path.exists(self.switch + ".asked")

    def close(self):
        self.answer()
        subprocess.run(["umount", "--lazy", self.path], check=False)
        self.popen.terminate()
        self.popen.wait()


def serve(mountpoint, switch):
    import fusepy

    class Files(fusepy.Operations):
        def getattr(self, path, fh=None):
            if os.path.exists(switch):
                open(switch + ".asked", "w").close()
            while os.path.exists(switch):
                time.sleep(0.02)
            name = os.path.basename(path)
            if path == "/" or name.startswith("d"):
                return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
            if name.startswith("f"):
                return {"st_mode": stat.S_IFREG | 0o644, "st_nlink": 1, "st_size": SIZE}
            raise fusepy.FuseOSError(errno.ENOENT)

    # Nothing is remembered by the kernel: each question comes here.
    fusepy.FUSE(Files(), mountpoint, foreground=True, allow_other=True, entry_timeout=0, attr_timeout=0,
                negative_timeout=0)  # fmt: skip


if __name__ == "__main__":
    serve(*sys.argv[1:])
