"""Node G22 alone, with neighbours that are known and not connected; one node a module, new data a module."""

from __future__ import annotations

import gc
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from lienthong.mesh.topology import Topology

from tests.services.routing.papers import Papers
from tests.support.node import Site, World
from tests.support.postgres import Databases

# G22 has the child H01, which has the child H01.15: known to G22, and no neighbour of it.
_TOPOLOGY = """
trust_domain: lienthong.test
nodes:
  - {node: G22, name: Văn phòng MẪU, tier: CENTRAL}
  - {node: H01, name: Tỉnh MẪU, tier: PROVINCE, parent: G22}
  - {node: H01.15, name: Huyện MẪU, tier: DISTRICT, parent: H01}
organizations:
  - code: G22
    name: Văn phòng MẪU
    tier: CENTRAL
    node: G22
    people:
      - {kind: leader, name: lanh-dao, title: Nguyễn Văn Mẫu}
      - {kind: clerk, name: van-thu}
      - {kind: client, name: qlvb}
  - code: G22.05
    name: Vụ MẪU Năm
    tier: CENTRAL
    node: G22
    superior: G22
    signs_itself: true
    people:
      - {kind: leader, name: lanh-dao, title: Trần Thị Mẫu}
      - {kind: clerk, name: van-thu}
      - {kind: client, name: qlvb}
  - code: G22.06
    name: Vụ MẪU Sáu
    tier: CENTRAL
    node: G22
    superior: G22
    people: [{kind: client, name: qlvb}]
  - {code: G22.07, name: Vụ MẪU đã giải thể, tier: CENTRAL, node: G22, superior: G22, valid_to: "2025-07-01"}
  - code: H01
    name: Tỉnh MẪU
    tier: PROVINCE
    node: H01
    people: [{kind: client, name: qlvb}]
operators: [quan-tri]
"""

# A megabyte, so that a file over the limit is made in no time.
LIMIT = 1024 * 1024


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World.create(Topology.parse(_TOPOLOGY), tmp_path_factory.mktemp("world"))
    made.authority.tls_node("Z99")  # trusted by the root, unknown to the directory
    made.authority.tls_node("H01.15")
    made.authority.organization_envelope("H01", label="revoked", revoked=True)
    for crl in made.authority.crl_paths:
        shutil.copy(crl, made.layout.node("G22").folder / "crl")
    return made


@pytest.fixture(scope="session")
def papers(world: World) -> Papers:
    """Documents to submit, each made once a session."""
    return Papers(world)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    world: World, _databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """A running node on new data, for all tests of the module."""
    overrides = {"routing": {"max_attachment_bytes": LIMIT, "lease_seconds": 1.5}}
    made = await Site.create(world, "G22", _databases, tmp_path_factory.mktemp("site"), overrides)
    try:
        yield await made.start()
    finally:
        await made.close()
        gc.collect()  # what dead nodes left behind: its finalizers must not run inside somebody's parser
        # The databases go with the server: dropping them takes longer than the tests.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
