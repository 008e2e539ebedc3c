"""Processes that a test starts: capture of their output, signals, and proof that none is left behind."""

import ctypes
import os
import re
import signal
import subprocess

from harness.waiting import wait_for

PR_SET_CHILD_SUBREAPER = 36
SANITIZER = re.compile(r"ERROR: (Address|Leak)Sanitizer|runtime error: |DEADLYSIGNAL|Assertion .* failed")
SANITIZER_ENV = {
    "ASAN_OPTIONS": "exitcode=99:detect_leaks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}

long_lived = set()  # pids of servers that stay when a test ends


def become_subreaper():
    """From now on orphans of our programs become our children, so that leftovers can be seen."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid):
    """Pids whose parent is `pid`, zombies included."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry))
    return found


def command_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
            return cmdline.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def unprivileged_root():
    """A prefix under which root obeys file permissions, as the user that runs a service would."""
    if os.geteuid() != 0:
        return []
    drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    if subprocess.run([*drop, "true"], capture_output=True).returncode != 0:
        return []
    return drop


class Process:
    """One program of ours with its output in a file. restart() starts it again; every life is checked: the exit
    status of a life that was not killed, and the sanitizers' words in its log."""

    def __init__(self, argv, env, log_path, prefix=()):
        self.argv = [*prefix, *map(str, argv)]
        self.env = env
        self.log_path = log_path
        self.popen = None
        self.killed = False
        self.paused = False
        self.expected_exit = 0

    def start(self, **extra_env):
        assert self.popen is None or self.popen.poll() is not None, "still running"
        self.killed = self.paused = False
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(
                self.argv,
                env={**self.env, **extra_env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    @property
    def pid(self):
        return self.popen.pid

    @property
    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def wait_log(self, pattern, bound=60):
        """Waits for a line that matches the regular expression, in all its lives so far."""

        def seen():
            match = re.search(pattern, self.log(), re.M)
            if match is None and not self.running:
                raise AssertionError(f"ended ({self.popen.returncode}) before '{pattern}':\n{self.tail()}")
            return match

        return wait_for(seen, bound, lambda: f"'{pattern}' in the log of {self.argv}:\n{self.tail()}")

    def tail(self, lines=40):
        return "\n".join(self.log().splitlines()[-lines:])

    def signal(self, number):
        self.popen.send_signal(number)

    def pause(self):
        """SIGSTOP: alive for the kernel, silent for everyone else."""
        self.paused = True
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.paused = False
        self.signal(signal.SIGCONT)

    def kill(self):
        """kill -9, at once."""
        self.killed = True
        self.popen.kill()
        self.popen.wait()

    def wait(self, bound=120):
        try:
            return self.popen.wait(bound)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {bound} s: {self.argv}\n{self.tail()}") from None

    def hears(self, number):
        """It has a handler for that signal; whoever has just been started may not have come so far."""
        with open(f"/proc/{self.pid}/status") as status:
            caught = re.search(r"^SigCgt:\s*(\w+)", status.read(), re.M)
        return caught is not None and int(caught.group(1), 16) >> (number - 1) & 1

    def ask_to_end(self):
        """SIGTERM, once it is heard. SIGCONT only for one that pause() stopped: it would also take away the SIGSTOP with
        which the leak check of a process that is ending halts its threads, and that check would wait for ever."""
        if self.running:
            if self.paused:
                self.resume()
            wait_for(lambda: not self.running or self.hears(signal.SIGTERM), 60, lambda: f"{self.argv} hears SIGTERM:\n{self.tail()}")
            self.popen.terminate()

    def terminate(self, bound=120):
        """SIGTERM and a clean end."""
        self.ask_to_end()
        self.wait(bound)
        self.check()

    def check(self):
        """Fails on a bad exit status and on anything the sanitizers said."""
        found = SANITIZER.search(self.log())
        assert not found, f"sanitizer report of {self.argv}:\n{self.log()[max(0, found.start() - 200):][:6000]}"
        if not self.killed and self.popen is not None:
            code = self.popen.poll()
            assert code == self.expected_exit, f"{self.argv} ended with {code}\n{self.tail()}"

    def dispose(self):
        """End of the test, whatever state the process is in."""
        if self.popen is None:
            return
        self.terminate()
