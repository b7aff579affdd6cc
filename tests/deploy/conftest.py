"""One node of five containers, as the chart describes them, for all tests of the image."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import pytest
from lienthong.client import Agency, Connection, Operator
from lienthong.clock import SystemClock
from lienthong.mesh.certificates import served_keys, tsa_name
from lienthong.mesh.keys import issue_all
from lienthong.mesh.layout import Layout
from lienthong.mesh.node_settings import directory
from lienthong.mesh.topology import Topology
from lienthong.pki.issuing import Issued
from lienthong.postgres import Postgres
from lienthong.settings import SERVICES

from k8s.check import REQUIRED, merged, read, render
from tests.support.podman import build_image, missing
from tests.support.pods import Cluster, yaml_bytes
from tests.support.postgres import Databases

NODE = "H01"
_REPOSITORY, _TAG = "localhost/lienthong-test", "tree"


@dataclass(frozen=True)
class Site:
    """A node in containers, and who may call it."""

    cluster: Cluster
    topology: Topology
    layout: Layout

    def connection(self, who: str) -> Connection:
        """As "org/H01/clerk/<name>" or "operator/<name>"."""
        addresses = {service: self.cluster.address(service, "grpc") for service in SERVICES}
        return Connection(self.layout.tls(who), addresses, NODE)

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[Operator]:
        """Who runs the node."""
        async with self.connection(f"operator/{self.topology.operators[0]}") as connection:
            yield Operator(connection)

    @asynccontextmanager
    async def agency(self, code: str, kind: str = "client") -> AsyncIterator[Agency]:
        """An organization, as its first leader, clerk or client."""
        people = self.topology.organization(code).people
        name = next(person.name for person in people if person.kind == kind)
        async with self.connection(f"org/{code}/{kind}/{name}") as connection:
            yield Agency(connection, code)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of this working tree."""
    if why := missing():
        pytest.skip(f"the image is not tested: {why}")
    name = f"{_REPOSITORY}:{_TAG}"
    build_image(name, tmp_path_factory.mktemp("image"))
    return name


@pytest.fixture(scope="session")
def site(image: str, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Keys, databases, the rendered chart; nothing runs yet."""
    topology = Topology.four_levels()
    layout = Layout(tmp_path_factory.mktemp("keys"))
    issue_all(topology, layout, SystemClock(), mode="services")
    databases = Databases(postgres)
    urls = dict(zip(SERVICES, asyncio.run(_created(databases)), strict=True))
    secrets = _secrets(topology, layout, urls)
    values = merged(read(REQUIRED), _values(topology, urls, sorted(set(secrets) & set(_keys(topology)))))
    cluster = Cluster(
        manifests=render(values),
        folder=tmp_path_factory.mktemp("node"),
        secrets=secrets,
        config=_config(topology, layout),
        # Others may test on this machine too.
        network=f"127.{random.randint(16, 250)}.{random.randint(1, 250)}",
    )
    try:
        yield Site(cluster, topology, layout)
    finally:
        cluster.remove()
        asyncio.run(databases.drop_all())


async def _created(databases: Databases) -> list[str]:
    return [await databases.create() for _ in SERVICES]


def _values(topology: Topology, urls: dict[str, str], keys: list[str]) -> dict[str, Any]:
    services = {name: {"database": {"url": _without_password(url)}} for name, url in urls.items()}
    return {
        "node": NODE,
        "trustDomain": topology.trust_domain,
        "image": {"repository": _REPOSITORY, "tag": _TAG},
        "documents": {"crls": {"keys": ["document.crl", "root.crl", "transport.crl"]}},
        "database": {"roots": {"configMap": ""}},
        "links": [],
        "services": services,
        "signing": {"keys": [{"name": name, "secret": name} for name in keys]},
        "telemetry": {"sampleRatio": 0},
        "grace": 10,
    }


def _secrets(topology: Topology, layout: Layout, urls: dict[str, str]) -> dict[str, dict[str, bytes]]:
    """The Secrets of the node, by the names that the values give them."""
    passwords = {name: unquote(urlsplit(url).password or "").encode() for name, url in urls.items()}
    tls = {f"tls-{name}": _pair(layout.issued(f"node/{NODE}/{name}", "tls")) for name in SERVICES}
    keys = {name: _pair(layout.issued(*at)) for name, at in _keys(topology).items()}
    stamps = _pair(layout.issued(f"tsa/{tsa_name(NODE)}", "timestamp"))
    return {**tls, **keys, "postgres-passwords": passwords, "h01-timestamps": stamps}


def _keys(topology: Topology) -> dict[str, tuple[str, str]]:
    """The keys that the node's signing holds, by name."""
    served = [pair for organization in topology.served_by(NODE) for pair in served_keys(organization)]
    pairs = [(f"node/{NODE}", "envelope"), *served]
    return {
        re.sub(r"[^a-z0-9]", "-", f"{path}-{purpose}".lower()): (path, purpose) for path, purpose in pairs
    }


def _config(topology: Topology, layout: Layout) -> dict[str, dict[str, bytes]]:
    roots = layout.roots.read_bytes()
    chain = layout.document_chain.read_bytes()
    return {
        "transport-roots": {"roots.pem": roots},
        "document-roots": {"roots.pem": roots, "document-chain.pem": chain},
        "crls": {crl.name: crl.read_bytes() for crl in layout.crls},
        "organizations": {"organizations.yaml": yaml_bytes(directory(topology))},
    }


def _pair(issued: Issued) -> dict[str, bytes]:
    return {"tls.key": issued.key_path.read_bytes(), "tls.crt": issued.chain_path.read_bytes()}


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}"))
