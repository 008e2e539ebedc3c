"""Ceph's RADOS gateway as the tests' S3 store: written by others, verifies signatures, starts in two seconds.

One monitor, one OSD in memory, no manager, no authentication between the daemons; all of it in one directory and on
free ports, so that runs side by side never meet. The daemons die with the process that started them (PDEATHSIG). What the
gateway does otherwise than AWS's S3 is in README.md.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import uuid

from fakes.certificates import make_certificates
from harness import processes
from harness.servers import free_port

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
USERS = ("s3", "minio", "spaces", "backblaze")
KMS_KEY = "testkey"  # the only key id that the gateway has for aws:kms
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

CONFIGURATION = """[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon_port}]
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
ms_bind_ipv6 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
# without authentication there is no key for the secure mode, which clients would choose
ms_mon_client_mode = crc
ms_mon_cluster_mode = crc
ms_mon_service_mode = crc
ms_cluster_mode = crc
ms_service_mode = crc
ms_client_mode = crc
keyring = /dev/null

run_dir = {root}
admin_socket =
pid_file =
crash_dir = {root}
log_file = {root}/$name.log
mon_cluster_log_file = {root}/cluster.log
mon_data = {root}/mon
osd_data = {root}/osd
rgw_data = {root}/rgw
osd_class_dir = {library}/rados-classes
erasure_code_dir = {library}/ceph/erasure-code
plugin_dir = {library}/ceph

# one copy, in memory, on a file system that may be nearly full
osd_objectstore = memstore
memstore_device_bytes = {capacity}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
osd_class_load_list = *
osd_class_default_list = *
mon_allow_pool_size_one = true
mon_data_avail_warn = 1
mon_data_avail_crit = 0

# decisions of a monitor without peers need no waiting for more of them: pools are made in no time
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_tick_interval = 1
mon_osd_min_up_ratio = 0

rgw_dns_name = s3.localhost
rgw_enable_lc_threads = false
rgw_enable_usage_log = false
rgw_dynamic_resharding = false
rgw_override_bucket_index_max_shards = 1
# what is deleted leaves the memory soon
rgw_gc_obj_min_wait = 1
rgw_gc_processor_period = 5
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = {kms_key}=YSB0aHJvdy1hd2F5IGtleSBvZiAzMiBieXRlcyAhISE=
"""

NEW_OSD = """
import json, rados, sys
with rados.Rados(conffile=sys.argv[1]) as cluster:
    code, _, text = cluster.mon_command(json.dumps({"prefix": "osd new", "uuid": sys.argv[2]}), b"")
    sys.exit(text if code else 0)
"""


class Installation:
    """Where Ceph's programs are: installed, or unpacked by deploy/packages/unpack."""

    def __init__(self):
        if all(shutil.which(name) for name in ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool")):
            self.root = "/"
        else:
            self.root = os.path.join(REPOSITORY, "build", "servers", "ceph")
            assert os.path.exists(os.path.join(self.root, "complete")), (
                "Ceph's daemons are missing; run: deploy/packages/unpack build/servers/ceph"
            )
        lib = os.path.join(self.root, "usr", "lib")
        folders = [os.path.join(lib, name) for name in os.listdir(lib)]
        self.library = next(f for f in folders if os.path.isdir(os.path.join(f, "rados-classes")))
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("CEPH_", "LD_", "PYTHON"))}
        if self.root != "/":
            self.environment["LD_LIBRARY_PATH"] = f"{self.library}:{self.library}/ceph"
            self.environment["PYTHONPATH"] = os.path.join(lib, "python3", "dist-packages")

    def program(self, name):
        return os.path.join(self.root, "usr", "bin", name)


class PortTaken(Exception):
    pass


class RadosGateway:
    """`http`, `https` and `ca_file` say where it is; `keys` has (access key, secret key) of each user."""

    def __init__(self, root, capacity=6 << 30):
        self.root = root
        self.capacity = capacity
        self.keys = {user: (f"ACCESS-{user}", f"secret-of-{user}") for user in USERS}
        self.daemons = []
        self.prefix = []

    def start(self):
        self.ceph = Installation()
        for _ in range(5):
            try:
                self._start()
                return self
            except PortTaken:
                self.stop()
        raise AssertionError(self.logs())

    def _start(self):
        shutil.rmtree(self.root, ignore_errors=True)
        for name in ("", "mon", "osd", "rgw", "tls"):
            os.makedirs(os.path.join(self.root, name))
        made = make_certificates(os.path.join(self.root, "tls"))
        self.ca_file = made.ca
        self._become_nobody()
        self.conf = os.path.join(self.root, "ceph.conf")
        fsid, mon_port = str(uuid.uuid4()), free_port()
        with open(self.conf, "w") as f:
            f.write(CONFIGURATION.format(root=self.root, fsid=fsid, mon_port=mon_port, library=self.ceph.library,
                                         capacity=self.capacity, kms_key=KMS_KEY))  # fmt: skip
        address = f"[v2:127.0.0.1:{mon_port}]"
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, "monmap")
        self._run("ceph-mon", "-c", self.conf, "--mkfs", "-i", "a", "--monmap", "monmap")
        self._daemon("ceph-mon", "-i", "a")
        osd = str(uuid.uuid4())
        self._run("/usr/bin/python3", "-c", NEW_OSD, self.conf, osd)
        self._run("ceph-osd", "-c", self.conf, "--mkfs", "-i", "0", "--osd-uuid", osd)
        self._daemon("ceph-osd", "-i", "0")
        http, https = free_port(), free_port()
        self._daemon("radosgw", "-n", "client.rgw", "--rgw-frontends",
                     f"beast endpoint=127.0.0.1:{http} ssl_endpoint=127.0.0.1:{https} ssl_certificate={made.certificate} "
                     f"ssl_private_key={made.key}")  # fmt: skip
        self.http, self.https = f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}"
        self._wait_answers()
        for user, (access_key, secret_key) in self.keys.items():
            self._run("radosgw-admin", "-c", self.conf, "user", "create", "--uid", user, "--display-name", user,
                      "--access-key", access_key, "--secret", secret_key)  # fmt: skip

    def _become_nobody(self):
        """Root gives its rights away, where the programs' folder is open to others."""
        if os.geteuid() != 0:
            return
        entry = pwd.getpwnam("nobody")
        prefix = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
        if subprocess.run([*prefix, "test", "-x", self.ceph.program("radosgw"), "-a", "-x", self.root]).returncode != 0:
            return
        self.prefix = prefix
        for folder, _, files in os.walk(self.root):
            for path in [folder, *(os.path.join(folder, name) for name in files)]:
                os.chown(path, entry.pw_uid, entry.pw_gid)

    def _run(self, program, *arguments):
        """A command; while it runs, a daemon that has ended ends it too."""
        path = program if program.startswith("/") else self.ceph.program(program)
        with open(os.path.join(self.root, "commands.out"), "a+b") as out:
            running = subprocess.Popen([*self.prefix, "setpriv", "--pdeathsig", "KILL", path, *arguments], cwd=self.root,
                                       env=self.ceph.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)  # fmt: skip
            end = time.monotonic() + 120
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.wait(0.1)
                    break
                if time.monotonic() > end or any(d.poll() is not None for d in self.daemons):
                    running.kill()
                    running.wait()
                    break
        self._check_daemons()
        assert running.returncode == 0, f"{program} {arguments} ended with {running.returncode}:\n{self.logs()}"

    def _daemon(self, program, *arguments):
        with open(os.path.join(self.root, f"{program}.out"), "ab") as out:
            daemon = subprocess.Popen(
                [*self.prefix, "setpriv", "--pdeathsig", "KILL", self.ceph.program(program), "-c", self.conf, "-f", *arguments],
                cwd=self.root, env=self.ceph.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        self.daemons.append(daemon)
        processes.long_lived.add(daemon.pid)

    def _check_daemons(self):
        if any(daemon.poll() is not None for daemon in self.daemons):
            if "in use" in self.logs() or "unable to bind" in self.logs():
                raise PortTaken
            raise AssertionError(f"a daemon of Ceph ended:\n{self.logs()}")

    def _wait_answers(self):
        end = time.monotonic() + 120
        while True:
            self._check_daemons()
            with contextlib.suppress(OSError, urllib.error.URLError):
                DIRECT.open(self.http, timeout=10).close()
                return
            assert time.monotonic() < end, f"the gateway doesn't answer:\n{self.logs()}"
            time.sleep(0.05)

    def logs(self, size=3000):
        """The ends of everything that the daemons said."""
        told = []
        for name in sorted(os.listdir(self.root)):
            if name.endswith((".log", ".out")):
                with open(os.path.join(self.root, name), errors="replace") as f:
                    told.append(f"--- {name}\n{f.read()[-size:]}")
        return "\n".join(told)

    def stop(self):
        """At once: nothing here outlives it."""
        for daemon in self.daemons:
            daemon.kill()
        for daemon in self.daemons:
            daemon.wait()
            processes.long_lived.discard(daemon.pid)
        self.daemons = []

    # -- read-back by a client that isn't ours

    def client(self, user="s3", tls=False, **options):
        from harness import boto

        url = self.https if tls else self.http
        return boto.client("s3", url, *self.keys[user], ca_file=self.ca_file, **options)

    def bucket(self, name, user="s3", **options):
        """Makes a bucket; gives its name."""
        self.client(user).create_bucket(Bucket=name, **options)
        return name
