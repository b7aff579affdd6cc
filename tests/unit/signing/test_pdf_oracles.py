"""What programs that are not ours say about our documents: pdfsig on signatures, poppler on what is seen."""

import asyncio
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from lienthong.clock import SystemClock
from PIL import Image

from services.signing.pdf.extending import extend
from services.signing.pdf.preparing import prepare
from tests.support.documents import LEADER_PLACE, PLACEMENTS, letter, set_text, updated
from tests.support.signing import SigningWorld, signing_world

pytestmark = pytest.mark.oracle
DPI = 144


def _program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"NOT JUDGED: the program {name} is missing (Debian package {package})")
    return found


@pytest.fixture(scope="module")
def present(tmp_path_factory: pytest.TempPathFactory) -> SigningWorld:
    """A world of today: the judges read the machine's clock."""
    return signing_world(tmp_path_factory.mktemp("pki"), SystemClock())


@pytest.fixture(scope="module")
def issued(present: SigningWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A document that went the whole way."""
    folder = tmp_path_factory.mktemp("issued")
    prepare(letter(folder / "letter.pdf", pages=2), folder / "prepared.pdf", PLACEMENTS)

    async def issue() -> Path:
        signed = await present.signed(folder / "prepared.pdf", folder / "signed.pdf")
        sealed = await present.sealed(signed, folder / "sealed.pdf")
        await extend(sealed, folder / "issued.pdf", present.timestamper)
        return folder / "issued.pdf"

    return asyncio.run(issue())


def _pdfsig(world: SigningWorld, document: Path, folder: Path) -> list[str]:
    """What pdfsig says of each signature, with a certificate database that trusts the TEST root."""
    pdfsig = _program("pdfsig", "poppler-utils")
    certutil = _program("certutil", "libnss3-tools")
    database = folder / "nss"
    database.mkdir(exist_ok=True)
    subprocess.run([certutil, "-N", "-d", f"sql:{database}", "--empty-password"], check=True)
    root = str(world.authority.roots_path)
    subprocess.run(
        [certutil, "-A", "-d", f"sql:{database}", "-n", "root", "-t", "CT,CT,CT", "-a", "-i", root],
        check=True,
    )
    said = subprocess.run(
        [pdfsig, "-nssdir", f"sql:{database}", str(document)],
        check=False,
        capture_output=True,
        text=True,
    )
    return re.split(r"(?=Signature #\d+:)", said.stdout)[1:]


def test_pdfsig_says_both_signatures_are_valid_and_all_is_covered(
    present: SigningWorld, issued: Path, tmp_path: Path
) -> None:
    leader, agency = _pdfsig(present, issued, tmp_path)
    for said in (leader, agency):
        assert "Signature Validation: Signature is Valid." in said
        assert "Certificate Validation: Certificate is Trusted." in said
        assert "ETSI.CAdES.detached" in said
    assert "Total document signed" in agency
    assert "Not total document signed" in leader


def test_pdfsig_sees_a_flipped_byte(present: SigningWorld, issued: Path, tmp_path: Path) -> None:
    data = bytearray(issued.read_bytes())
    data[data.index(b"stream\n") + 40] ^= 1
    (tmp_path / "flipped.pdf").write_bytes(data)
    for said in _pdfsig(present, tmp_path / "flipped.pdf", tmp_path):
        assert "Signature Validation: Signature is Valid." not in said


def test_a_change_after_the_seal_is_no_longer_the_whole_document(
    present: SigningWorld, issued: Path, tmp_path: Path
) -> None:
    changed = updated(issued, tmp_path / "changed.pdf", set_text("lt_number", "99"))
    assert "Not total document signed" in _pdfsig(present, changed, tmp_path)[1]


def test_the_text_of_number_and_date_is_vietnamese_text(issued: Path) -> None:
    pdftotext = _program("pdftotext", "poppler-utils")
    said = subprocess.run(
        [pdftotext, "-layout", str(issued), "-"], check=True, capture_output=True, text=True
    ).stdout
    words = " ".join(said.split())
    assert "Số: 05 /CQM-TH" in words
    assert "ngày 05 tháng 02 năm 2026" in words


def test_the_red_seal_lies_over_the_left_third_of_the_blue_signature(issued: Path, tmp_path: Path) -> None:
    pdftoppm = _program("pdftoppm", "poppler-utils")
    subprocess.run(
        [
            pdftoppm,
            "-r",
            str(DPI),
            "-png",
            "-f",
            "1",
            "-l",
            "1",
            "-singlefile",
            str(issued),
            str(tmp_path / "page"),
        ],
        check=True,
    )
    with Image.open(tmp_path / "page.png") as page:
        red, blue = _coloured(page, "red"), _coloured(page, "blue")
    third = LEADER_PLACE.left + LEADER_PLACE.width / 3
    assert red[0] < LEADER_PLACE.left < blue[0] < red[1] < blue[1]
    assert red[1] == pytest.approx(third, abs=4)


def _coloured(page: Image.Image, colour: str) -> tuple[float, float]:
    """Leftmost and rightmost point, in points, of a colour near the leader's signature."""
    scale = DPI / 72
    top = page.height - (LEADER_PLACE.top + 30) * scale
    bottom = page.height - (LEADER_PLACE.bottom - 30) * scale
    seen: list[int] = []
    pixels: Any = page.load()
    for x in range(page.width):
        for y in range(int(top), int(bottom)):
            r, g, b = pixels[x, y]
            if (r > 180 and g < 70 and b < 70) if colour == "red" else (b > 130 and r < 70 and g < 90):
                seen.append(x)
                break
    assert seen, colour
    return min(seen) / scale, max(seen) / scale
