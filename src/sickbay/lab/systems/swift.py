"""An S3-compatible object store of the lab's own: OpenStack Swift, four real daemons, gone afterwards."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sickbay.lab.systems.environments import environment
from sickbay.lab.systems.processes import LabError, Server, free_port, launch, listens, wait_until

ACCOUNT = "lab"
ADMIN = ("admin", "lab-admin-secret")
PIPELINE = (
    "catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth copy container-quotas "
    "account-quotas slo dlo versioned_writes symlink proxy-logging proxy-server"
)


@dataclass(slots=True)
class Swift:
    """A running store. ``users``: name → secret, and whether it may do everything in the account."""

    directory: Path
    port: int
    ports: Mapping[str, int]
    users: dict[str, tuple[str, bool]]
    servers: dict[str, Server] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        """Address of the S3 API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def all(self) -> list[Server]:
        """The daemons, storage before the proxy."""
        return list(self.servers.values())

    def client(self, user: str = ADMIN[0], **settings: Any) -> Any:
        """Return a boto3 S3 client of a user."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=f"{ACCOUNT}:{user}",
            aws_secret_access_key=self.users[user][0], region_name="us-east-1",
            config=Config(connect_timeout=3, read_timeout=20, retries={"max_attempts": 1},
                          s3={"addressing_style": "path"}, **settings),
        )  # fmt: skip

    def set_user(self, name: str, secret: str, *, full: bool) -> None:
        """Give a user another secret or other rights; the proxy reads its users when it starts, so it starts again."""
        self.users[name] = (secret, full)
        self.restart_proxy()

    def restart_proxy(self) -> None:
        """Start the proxy again with the users as they are."""
        if "proxy" in self.servers:
            self.servers["proxy"].stop()
        _write_proxy(self)
        self._launch("proxy")
        wait_until(lambda: listens(self.port), 60, "the object store listening", self.servers["proxy"])

    def _launch(self, name: str) -> None:
        program = environment("swift") / "bin" / f"swift-{name}-server"
        home = self.directory / "swift"
        self.servers[name] = launch(
            f"Swift {name}", [program, home / f"{name}.conf", "-v"], log=self.directory / "object-store.log", cwd=home
        )


def start(directory: Path, users: Mapping[str, tuple[str, bool]]) -> Swift:
    """Start a store in a directory. ``users``: name → (secret, whether it may do everything)."""
    home = directory / "swift"
    shutil.rmtree(home, ignore_errors=True)
    (home / "devices" / "d1").mkdir(parents=True)
    ports = {name: free_port() for name in ("account", "container", "object")}
    store = Swift(directory, free_port(), ports, {ADMIN[0]: (ADMIN[1], True), **users})
    (home / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_prefix = lab\nswift_hash_path_suffix = lab\n[storage-policy:0]\nname = one\n"
        "default = yes\n",
        encoding="utf-8",
    )
    builder = environment("swift") / "bin" / "swift-ring-builder"
    for name, port in ports.items():
        ring = str(home / f"{name}.builder")
        for step in (["create", "2", "1", "1"], ["add", f"r1z1-127.0.0.1:{port}/d1", "1"], ["rebalance"]):
            done = subprocess.run([str(builder), ring, *step], cwd=home, capture_output=True, text=True, check=False)
            if done.returncode > 1:  # 1 is a warning
                raise LabError(f"swift-ring-builder {step[0]} failed: {done.stderr or done.stdout}")
        (home / f"{name}.conf").write_text(
            f"""[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
mount_check = false
fallocate_reserve = 0
swift_dir = {home}
devices = {home / "devices"}
log_udp_host = 127.0.0.1
log_udp_port = 9
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
""",
            encoding="utf-8",
        )
    _write_proxy(store)
    try:
        for name in ports:
            store._launch(name)
        for name, port in ports.items():
            wait_until(lambda port=port: listens(port), 60, f"Swift {name} listening", store.servers[name])  # type: ignore[misc]
        store._launch("proxy")
        wait_until(lambda: listens(store.port), 60, "the object store listening", store.servers["proxy"])
    except BaseException:
        for server in store.all:
            server.stop()
        raise
    return store


QUOTA = """
import http.client, sys, time
from swift.common.ring import Ring
from swift.common.utils import set_swift_dir
home, account, bucket, size = sys.argv[1:]
set_swift_dir(home)
part, nodes = Ring(home, ring_name="container").get_nodes(account, bucket)
headers = {"X-Timestamp": f"{time.time():.5f}", "X-Container-Meta-Quota-Bytes": size}
line = http.client.HTTPConnection(nodes[0]["ip"], nodes[0]["port"], timeout=10)
line.request("POST", f"/{nodes[0]['device']}/{part}/{account}/{bucket}", headers=headers)
answer = line.getresponse()
sys.exit(0 if answer.status < 300 else f"{answer.status} {answer.read()[:200]}")
"""


def set_quota(store: Swift, bucket: str, size: int | None) -> None:
    """Limit a bucket to ``size`` bytes, or lift the limit, as the store's operator does at the container server."""
    python = environment("swift") / "bin" / "python"
    told = "" if size is None else str(size)
    command = [str(python), "-c", QUOTA, str(store.directory / "swift"), f"AUTH_{ACCOUNT}", bucket, told]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"the quota of {bucket} cannot be set: {done.stderr.strip()[-200:]}")


def _write_proxy(store: Swift) -> None:
    home = store.directory / "swift"
    users = "\n".join(
        f"user_{ACCOUNT}_{name} = {secret}{' .admin' if full else ''}" for name, (secret, full) in store.users.items()
    )
    filters = "\n".join(
        f"[filter:{name}]\nuse = egg:swift#{egg}"
        for name, egg in (
            ("catch_errors", "catch_errors"), ("gatekeeper", "gatekeeper"), ("healthcheck", "healthcheck"),
            ("listing_formats", "listing_formats"), ("bulk", "bulk"), ("copy", "copy"), ("slo", "slo"), ("dlo", "dlo"),
            ("container-quotas", "container_quotas"), ("account-quotas", "account_quotas"),
            ("versioned_writes", "versioned_writes"), ("symlink", "symlink"), ("proxy-logging", "proxy_logging"),
        )
    )  # fmt: skip
    (home / "proxy.conf").write_text(
        f"""[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {store.port}
workers = 0
swift_dir = {home}
log_udp_host = 127.0.0.1
log_udp_port = 9
[pipeline:main]
pipeline = {PIPELINE}
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
{filters}
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:9
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
{users}
""",
        encoding="utf-8",
    )
    (home / "proxy.conf").chmod(0o600)
