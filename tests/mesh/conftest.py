"""One mesh for all mesh tests that leave it as they found it; who kills nodes starts one of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lienthong.mesh import Mesh

from tests.support.mesh import running_mesh


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Four nodes, ready, shared."""
    yield from running_mesh(tmp_path_factory.mktemp("mesh") / "data")
