"""Storage as a process of its own, that can be killed: `python -m services.storage`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from lienthong.settings import TlsSettings
from lienthong.storage.v1.storage_pb2_grpc import BlobServiceStub, ReplicationServiceStub

from tests.support.serving import TRUST_DOMAIN, Pki, free_port

if TYPE_CHECKING:  # the generated module has these classes only in its stubs
    from lienthong.storage.v1.storage_pb2_grpc import BlobServiceAsyncStub, ReplicationServiceAsyncStub

ROOT = Path(__file__).parents[3]


def _written(tls: TlsSettings) -> dict[str, str]:
    return {name: str(path) for name, path in tls.model_dump().items()}


@dataclass
class StorageProcess:
    """One node's storage; its data outlive the process."""

    pki: Pki
    node: str
    folder: Path
    url: str
    stack: AsyncExitStack
    settings: dict[str, Any] = field(default_factory=dict)
    address: str = ""
    _running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._running is not None, "it runs"
        return self._running.pid

    async def start(self) -> None:
        """Run, and wait until it answers."""
        self.address = f"127.0.0.1:{free_port()}"
        storage = {"database": {"url": self.url}, "folder": str(self.folder), "free_floor_bytes": 0}
        content = {
            "node": self.node,
            "trust_domain": TRUST_DOMAIN,
            "service": "storage",
            "listen": self.address,
            "tls": _written(self.pki.tls(f"node/{self.node}/storage")),
            "storage": storage | self.settings,
        }
        file = self.folder.with_suffix(".yaml")
        file.write_text(yaml.safe_dump(content))
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LIENTHONG_")}
        with file.with_suffix(".log").open("ab") as log:
            self._running = subprocess.Popen(
                [sys.executable, "-m", "services.storage"],
                cwd=ROOT,
                env=environ | {"LIENTHONG_SETTINGS": str(file)},
                stderr=log,
            )
        self.stack.callback(self.kill)
        async with asyncio.timeout(30):
            await self._channel("org/G22/client/app").channel_ready()

    def kill(self) -> None:
        """SIGKILL: nothing is written, closed or told any more."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()

    def blobs(self, who: str = "org/G22/client/app") -> BlobServiceAsyncStub:
        stub: BlobServiceAsyncStub = BlobServiceStub(self._channel(who))
        return stub

    def replication(self) -> ReplicationServiceAsyncStub:
        stub: ReplicationServiceAsyncStub = ReplicationServiceStub(self._channel(f"node/{self.node}/routing"))
        return stub

    def _channel(self, who: str) -> Any:
        channel = self.pki.channel(who, self.node, self.address)
        self.stack.push_async_callback(channel.close)
        return channel
