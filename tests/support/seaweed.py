"""A real S3: SeaweedFS from its wheel, one process with a folder of its own, on free ports of 127.0.0.1.

It ends with us, however we end: a small shell holds the other end of a pipe of ours and kills it when the
kernel closes the pipe.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from services.storage.settings import BucketSettings

BUCKET: Final = "test-blobs"
# Below the ports that the kernel gives to outgoing connections; gRPC ports lie 10,000 higher, and these two
# ranges do not meet.
_LOWEST: Final = 21_000
_HIGHEST: Final = 22_700
_GRPC: Final = 10_000
_SERVERS: Final = ("master", "volume", "filer", "s3", "admin")
_STARTS: Final = 5
_READY_SECONDS: Final = 20.0
_UNTIL_WE_END: Final = '"$@" & read -r _; kill -KILL "$!"; wait "$!"'
_ACCESS_KEY: Final = "TESTKEY"
_SECRET_KEY: Final = "test-secret"


@dataclass(frozen=True, slots=True)
class Seaweed:
    """A running server. `stop` ends it."""

    process: subprocess.Popen[bytes]
    endpoint: str
    folder: Path

    @classmethod
    def start(cls, folder: Path) -> Seaweed:
        """Start one in this folder, which must be fresh, and return when it serves the bucket."""
        folder.mkdir(parents=True)
        (folder / "access-key").write_text(_ACCESS_KEY + "\n")
        (folder / "secret-key").write_text(_SECRET_KEY + "\n")
        for number in range(_STARTS):  # somebody else may take a port between looking and binding
            server = _launch(folder, folder / f"data-{number}", random.SystemRandom())
            if server._ready():
                return server
            server.stop()
        raise RuntimeError(f"SeaweedFS does not start, see {folder / 'log'}")

    def stop(self) -> None:
        """End it, and free what it stored."""
        self.process.communicate()  # closes the pipe
        for data in self.folder.glob("data-*"):
            shutil.rmtree(data, ignore_errors=True)

    def settings(self, prefix: str, **changed: object) -> BucketSettings:
        """The bucket, under a prefix of one's own."""
        given: dict[str, object] = {
            "endpoint": self.endpoint,
            "bucket": BUCKET,
            "prefix": prefix,
            "access_key_file": self.folder / "access-key",
            "secret_key_file": self.folder / "secret-key",
            "allow_http": True,
        }
        return BucketSettings.model_validate({**given, **changed})

    def objects(self) -> S3Store:
        """The bucket itself, to look behind the storage's back."""
        return S3Store(
            BUCKET,
            config={
                "endpoint": self.endpoint,
                "region": "us-east-1",
                "access_key_id": _ACCESS_KEY,
                "secret_access_key": _SECRET_KEY,
            },
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )

    def _ready(self) -> bool:
        bucket, deadline = self.objects(), time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            try:
                obstore.list(bucket).collect()
            except BaseError:
                time.sleep(0.1)
            else:
                return True
        return False


def _launch(folder: Path, data: Path, rng: random.Random) -> Seaweed:
    data.mkdir()
    ports = dict(zip(_SERVERS, _free_ports(len(_SERVERS), rng), strict=True))
    command = [
        str(Path(sysconfig.get_path("scripts")) / "weed"),
        "mini",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-webdav=false",
        "-admin.ui=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.autoCreateBucket=false",
        f"-bucket={BUCKET}",
        *(f"-{server}.port={port}" for server, port in ports.items()),
    ]
    keys = {"AWS_ACCESS_KEY_ID": _ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": _SECRET_KEY, "HOME": str(data)}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _UNTIL_WE_END, "weed", *command],
            cwd=data,
            env={**os.environ, **keys},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    return Seaweed(process, f"http://127.0.0.1:{ports['s3']}", folder)


def _free_ports(count: int, rng: random.Random) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = rng.randrange(_LOWEST, _HIGHEST)
        if port not in found and _bindable(port) and _bindable(port + _GRPC):
            found.append(port)
    return found


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
