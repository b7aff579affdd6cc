"""The signing world of this folder's tests: made once, keys are what takes long."""

from pathlib import Path

import pytest
import pytest_asyncio
from lienthong.clock import FakeClock

from services.signing.pdf.extending import extend
from services.signing.pdf.preparing import prepare
from tests.support.documents import PLACEMENTS, letter
from tests.support.signing import SigningWorld, signing_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> SigningWorld:
    return signing_world(tmp_path_factory.mktemp("pki"), FakeClock())


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A letter with the four fields."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(letter(folder / "letter.pdf", pages=2), folder / "prepared.pdf", PLACEMENTS)
    return folder / "prepared.pdf"


@pytest_asyncio.fixture
async def signed(world: SigningWorld, prepared: Path, tmp_path: Path) -> Path:
    """Signed by the leader, B-T."""
    return await world.signed(prepared, tmp_path / "signed.pdf")


@pytest_asyncio.fixture
async def sealed(world: SigningWorld, signed: Path, tmp_path: Path) -> Path:
    """Numbered, dated and sealed, B-B."""
    return await world.sealed(signed, tmp_path / "sealed.pdf")


@pytest_asyncio.fixture
async def stamped(world: SigningWorld, sealed: Path, tmp_path: Path) -> Path:
    """Sealed and stamped: both signatures B-T."""
    await extend(sealed, tmp_path / "stamped.pdf", world.timestamper)
    return tmp_path / "stamped.pdf"
