"""A real server over real mutual TLS for the rpc tests: throw-away certificates and a small test service."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc_tools  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_tools import protoc
from lienthong.errors import FailedPrecondition, NotFound, ResourceExhausted
from lienthong.rpc import deadline
from lienthong.rpc.calls import DomainChannel
from lienthong.rpc.client import channel_to
from lienthong.rpc.health import Health
from lienthong.rpc.identity import current_caller, node_dns_name
from lienthong.rpc.server import Server, build_server
from lienthong.settings import TlsSettings

DOMAIN = "test.lienthong"
NODE = "H01"
ROUTING = f"spiffe://{DOMAIN}/node/H01/routing"

PROTO = """
syntax = "proto3";
package lienthong_test.v1;
import "lienthong/types/v1/access.proto";
message Ask { string what = 1; bytes load = 2; }
message Answer { string text = 1; double number = 2; bytes load = 3; }
service Probe {
  rpc One(Ask) returns (Answer) {
    option (lienthong.types.v1.access) = {roles: ROLE_NODE_SERVICE};
  }
  rpc Many(Ask) returns (stream Answer) {
    option (lienthong.types.v1.access) = {roles: ROLE_NODE_SERVICE};
  }
  rpc Collect(stream Ask) returns (Answer) {
    option (lienthong.types.v1.access) = {roles: ROLE_NODE_SERVICE};
  }
  rpc Talk(stream Ask) returns (stream Answer) {
    option (lienthong.types.v1.access) = {roles: ROLE_NODE_SERVICE};
  }
  rpc Relay(Ask) returns (Answer) {
    option (lienthong.types.v1.access) = {roles: ROLE_NODE_SERVICE};
  }
  rpc Forgotten(Ask) returns (Answer) {}
  rpc ForClerks(Ask) returns (Answer) {
    option (lienthong.types.v1.access) = {roles: [ROLE_CLERK]};
  }
  rpc ForPeers(Ask) returns (Answer) {
    option (lienthong.types.v1.access) = {roles: [ROLE_PEER_NODE]};
  }
  rpc ForRouting(Ask) returns (Answer) {
    option (lienthong.types.v1.access) = {roles: [ROLE_NODE_SERVICE], services: ["routing"]};
  }
}
"""


@dataclass(frozen=True)
class Contract:
    """The generated modules of the test service."""

    pb2: Any
    grpc: Any


def compile_contract(folder: Path) -> Contract:
    """Generate and import the test service (once a process: descriptors are registered for good)."""
    if "probe_test_pb2" not in sys.modules:
        (folder / "probe_test.proto").write_text(PROTO)
        protos = Path(__file__).parents[3] / "protos"
        bundled = Path(grpc_tools.__file__).parent / "_proto"
        arguments = [f"-I{folder}", f"-I{protos}", f"-I{bundled}"]
        outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}", "probe_test.proto"]
        assert protoc.main(["protoc", *arguments, *outputs]) == 0
        sys.path.insert(0, str(folder))
    return Contract(importlib.import_module("probe_test_pb2"), importlib.import_module("probe_test_pb2_grpc"))


class Authority:
    """A TEST certificate authority that writes the files a TlsSettings names."""

    def __init__(self, folder: Path, name: str = "TEST root") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key.public_key())
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self._certificate = builder.add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())
        self.roots = folder / "roots.pem"
        folder.mkdir(parents=True, exist_ok=True)
        self.roots.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, *uris: str, node: str = NODE, roots: Path | None = None) -> TlsSettings:
        """A certificate with these URIs and the DNS names of a node."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TEST")])
        names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName(node_dns_name(node))]
        names += [x509.UniformResourceIdentifier(uri) for uri in uris]
        certificate = (
            self._builder(subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        stem = self._folder / f"{certificate.serial_number:x}"
        files = TlsSettings(
            certificate=stem.with_suffix(".pem"), key=stem.with_suffix(".key"), roots=roots or self.roots
        )
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
        )


@dataclass
class ProbeServicer:
    """Does what it is asked to: answers, raises, breaks off in the middle, tells its deadline."""

    contract: Contract
    relay_to: Any = None
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def _do(self, what: str) -> Any:
        if what == "domain":
            raise NotFound("ID_MALFORMED", "no document 15", field="document", document="15", retry=None)
        if what == "busy":
            raise ResourceExhausted("PEER_OVERLOADED", "queue full", retry_after=2.5)
        if what == "defect":
            raise RuntimeError("password=hunter2")
        if what == "caller":
            return self.contract.pb2.Answer(text=str(current_caller()))
        if what == "deadline":
            return self.contract.pb2.Answer(number=deadline.remaining() or -1.0)
        return self.contract.pb2.Answer(text=what)

    async def One(self, request: Any, _context: Any) -> Any:
        if request.what == "sleep":
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return self._do(request.what)

    ForClerks = ForPeers = ForRouting = Forgotten = One

    async def Many(self, request: Any, _context: Any) -> AsyncIterator[Any]:
        yield self.contract.pb2.Answer(text="first")
        yield self._do(request.what)

    async def Collect(self, requests: AsyncIterator[Any], _context: Any) -> Any:
        words = [request.what async for request in requests]
        return self._do(words[-1])

    async def Talk(self, requests: AsyncIterator[Any], _context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield self._do(request.what)

    async def Relay(self, request: Any, _context: Any) -> Any:
        if self.relay_to is None:
            raise FailedPrecondition("METHOD_UNKNOWN")
        return await self.relay_to.One(self.contract.pb2.Ask(what=request.what))


@dataclass
class Site:
    """A running server and the means to call it."""

    contract: Contract
    server: Server
    servicer: ProbeServicer
    channels: list[DomainChannel]

    def ask(self, what: str, load: bytes = b"") -> Any:
        return self.contract.pb2.Ask(what=what, load=load)

    def stub(self, tls: TlsSettings, server_name: str = node_dns_name(NODE), timeout: float = 10.0) -> Any:
        channel = channel_to(tls, f"127.0.0.1:{self.server.port}", server_name, default_timeout=timeout)
        self.channels.append(channel)
        return self.contract.grpc.ProbeStub(channel)


@asynccontextmanager
async def running(contract: Contract, tls: TlsSettings, health: Health | None = None) -> AsyncIterator[Site]:
    """A server of node H01 on a free port."""
    servicer = ProbeServicer(contract)
    server = await build_server(
        tls,
        "127.0.0.1:0",
        [(contract.grpc.add_ProbeServicer_to_server, servicer)],
        node=NODE,
        trust_domain=DOMAIN,
        health=health,
    )
    await server.start()
    site = Site(contract, server, servicer, [])
    try:
        yield site
    finally:
        for channel in site.channels:
            await channel.close()
        await server.stop(0)
