"""Large PDFs are judged in little memory, and the verdict is the one that the library's own reading gives."""

# mypy: allow-untyped-calls

import hashlib
import inspect
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyhanko.version
import pytest
from lienthong.clock import FakeClock
from lienthong.pki.trust import TrustStore
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import PdfFileWriter

from services.signing.domain import Reason, ValidationReport, Verdict
from services.signing.pdf import lazy
from services.signing.pdf.extending import extend
from services.signing.pdf.lazy import Extent, LazyStream
from services.signing.pdf.opening import Limits, opened
from services.signing.pdf.preparing import prepare
from services.signing.pdf.validating import Validator
from tests.support.documents import PLACEMENTS, letter, updated
from tests.support.large_files import MIB, embedded, scanned
from tests.support.memory import Peaks, anonymous_bytes
from tests.support.signing import SigningWorld

LARGE = 120 * MIB
ALLOWED = 60 * MIB
IMAGE = 64 * 1024
# Of pyhanko 0.38.0. Where it changes, compare `lazy` with the library's code before you change it here.
REPLACED = "3a24e7569a67cf80a17769f8e5ac596a3974c9a00bd5daa84b7cfd81b2a7bb9c"


@dataclass(frozen=True)
class Growth:
    """What a fresh process needed on top to judge a document twice."""

    report: ValidationReport
    more: int


def judge(path: Path, roots: Path, intermediates: Path, crls: list[Path]) -> Growth:
    """For a process of its own: memory that earlier tests freed would hide what this takes."""
    trust = TrustStore.load(roots, intermediates, crls)
    validator = Validator(trust, trust, FakeClock())
    before = anonymous_bytes()
    with Peaks({"judge": 0}, seconds=0.01) as watch:
        validator.validate(path)
        report = validator.validate(path)
    return Growth(report, watch.peaks["judge"] - before)


async def issued(world: SigningWorld, plain: Path) -> Path:
    """Signed by the leader, numbered, sealed and stamped."""
    folder = plain.parent
    prepare(plain, folder / "prepared.pdf", PLACEMENTS)
    plain.unlink()
    await world.signed(folder / "prepared.pdf", folder / "signed.pdf")
    (folder / "prepared.pdf").unlink()
    await world.sealed(folder / "signed.pdf", folder / "sealed.pdf")
    (folder / "signed.pdf").unlink()
    await extend(folder / "sealed.pdf", folder / "sealed.pdf", world.timestamper)
    return folder / "sealed.pdf"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Emptied at once: pytest keeps temporary folders for a while, and these files are large."""
    yield tmp_path
    for path in tmp_path.iterdir():
        path.unlink()


@pytest.mark.parametrize("make", [scanned, embedded])
async def test_memory_does_not_grow_with_a_document(
    world: SigningWorld, folder: Path, make: Callable[[Path, int], Path]
) -> None:
    document = await issued(world, make(folder / "plain.pdf", LARGE))
    authority = world.authority
    stores = (authority.roots_path, authority.document_chain_path, list(authority.crl_paths))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        growth = process.submit(judge, document, *stores).result()
    assert document.stat().st_size > LARGE
    assert growth.report.verdict is Verdict.VALID
    assert len(growth.report.signatures) == 2
    assert growth.more < ALLOWED


async def test_object_streams_are_read(world: SigningWorld, folder: Path) -> None:
    """Objects inside a compressed stream, and cross references in another."""
    letter(folder / "letter.pdf", pages=40)
    with (folder / "letter.pdf").open("rb") as file, (folder / "plain.pdf").open("wb") as target:
        writer = PdfFileWriter(stream_xrefs=True)
        held = writer.prepare_object_stream()
        for index in range(400):
            number = generic.DictionaryObject({generic.pdf_name("/N"): generic.NumberObject(index)})
            writer.add_object(number, obj_stream=held)
        kept = writer.add_object(generic.ArrayObject(), obj_stream=held)
        writer.root[generic.pdf_name("/KeptHere")] = kept
        for page in range(40):
            writer.insert_page(imported(writer, PdfFileReader(file), page))
        writer.write(target)
    (folder / "letter.pdf").unlink()
    with opened(folder / "plain.pdf") as reader:
        assert reader.xrefs.object_streams_used_in(0)
        assert reader.root["/KeptHere"] == []
    report = world.validator.validate(await issued(world, folder / "plain.pdf"))
    assert (report.verdict, report.reasons) == (Verdict.VALID, ())


def imported(writer: PdfFileWriter, reader: PdfFileReader, index: int) -> generic.DictionaryObject:
    page, _ = reader.find_page_for_modification(index)
    copy = writer.import_object(page.get_object(), obj_stream=None)
    assert isinstance(copy, generic.DictionaryObject)
    copy.pop("/Parent", None)
    return copy


def rewrite_first_image(change: Callable[[bytes], bytes]) -> Callable[[IncrementalPdfFileWriter], None]:
    """Writes the image of the first page once more, as `change` makes it."""

    def apply(writer: IncrementalPdfFileWriter) -> None:
        images = writer.root["/Pages"]["/Kids"][0]["/Resources"]["/XObject"]
        reference = images.raw_get("/I").reference
        image = reference.get_object()
        entries = {key: value for key, value in image.items() if key != "/Length"}
        copy = generic.StreamObject(entries, encoded_data=change(image.encoded_data))
        copy[generic.pdf_name("/Length")] = generic.NumberObject(len(image.encoded_data))
        writer.objects[(reference.generation, reference.idnum)] = copy

    return apply


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda data: data, Verdict.PARTIAL),  # the same image again: no signature covers its second copy
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), Verdict.INVALID),
        (lambda data: bytes(len(data)), Verdict.INVALID),
    ],
)
async def test_a_changed_image_is_seen_where_it_is_not_kept_in_memory(
    world: SigningWorld, folder: Path, change: Callable[[bytes], bytes], verdict: Verdict
) -> None:
    prepare(scanned(folder / "plain.pdf", 3 * IMAGE, IMAGE), folder / "prepared.pdf", PLACEMENTS)
    await world.signed(folder / "prepared.pdf", folder / "signed.pdf")
    changed = updated(folder / "signed.pdf", folder / "changed.pdf", rewrite_first_image(change))
    report = world.validator.validate(changed)
    assert report.verdict is verdict
    assert (Reason.CHANGED_AFTER_SIGNING in report.reasons) is (verdict is Verdict.INVALID)


def test_a_stream_reads_as_the_library_reads_it(folder: Path) -> None:
    plain = scanned(folder / "plain.pdf", 2 * IMAGE, IMAGE)
    with plain.open("rb") as file, opened(plain) as reader:
        theirs = image_of(PdfFileReader(file))
        ours = image_of(reader)
        assert isinstance(ours, LazyStream)
        assert type(ours.encoded_data).__name__ == "Extent"
        assert len(ours.encoded_data) == len(theirs.encoded_data) == IMAGE
        assert ours.data == theirs.data
        assert {str(key): str(value) for key, value in ours.items()} == {
            str(key): str(value) for key, value in theirs.items()
        }


def image_of(reader: PdfFileReader) -> generic.StreamObject:
    image: generic.StreamObject = reader.root["/Pages"]["/Kids"][1]["/Resources"]["/XObject"]["/I"]
    return image


def broken(folder: Path, entries: bytes, data: bytes) -> Path:
    """A PDF whose form is a stream with these entries, or (with none) this data instead of an object."""
    path = folder / "broken.pdf"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /AcroForm 3 0 R >>",
        b"<< /Type /Pages /Count 0 /Kids [] >>",
        b"<< %s >>\nstream\n%s\nendstream" % (entries, data) if entries else data,
    ]
    with path.open("wb") as file:
        file.write(b"%PDF-1.7\n")
        places = []
        for number, content in enumerate(objects, 1):
            places.append(file.tell())
            file.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
        start = file.tell()
        file.write(b"xref\n0 4\n0000000000 65535 f \n")
        file.writelines(b"%010d 00000 n \n" % place for place in places)
        file.write(b"trailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start)
    return path


@pytest.mark.parametrize("length", [b"-1", b"-7", b"999999999", b"70000.5", b"(70000)", b"69990", b"70005"])
def test_a_stream_that_lies_about_its_length_is_broken(
    world: SigningWorld, folder: Path, length: bytes
) -> None:
    path = broken(folder, b"/Length " + length, b"A" * 70_000)
    assert world.validator.validate(path).reasons == (Reason.DOCUMENT_BROKEN,)


@pytest.mark.parametrize("length", [70_000, 70_001, 70_002])
def test_a_length_that_the_library_mends_is_mended(folder: Path, length: int) -> None:
    path = broken(folder, b"/Length %d" % length, b"A" * 70_000)
    with path.open("rb") as file, opened(path) as reader:
        theirs = PdfFileReader(file).root["/AcroForm"]
        ours = reader.root["/AcroForm"]
        assert (type(ours), ours.data) == (LazyStream, theirs.data)


@pytest.mark.parametrize(
    ("entries", "data"),
    [
        (b"", b"[" + b"0 " * 3 * MIB + b"]"),
        (b"", b"<" + b"41" * 3 * MIB + b">"),
        (b"", b"(" + b"A" * 6 * MIB + b")"),
        (b"/Type /ObjStm /Length -1", bytes(6 * MIB)),
        (b"/Type /ObjStm /Length %d" % (6 * MIB), bytes(6 * MIB)),
    ],
    ids=["array", "hexadecimal string", "string", "stream without end", "object stream"],
)
def test_what_would_become_very_many_objects_is_refused(
    world: SigningWorld, folder: Path, entries: bytes, data: bytes
) -> None:
    trust = world.context.trust
    validator = Validator(trust, trust, world.clock, Limits(max_parsed_bytes=2 * MIB))
    assert validator.validate(broken(folder, entries, data)).reasons == (Reason.DOCUMENT_TOO_COMPLEX,)


def test_places_are_equal_where_their_data_is(folder: Path) -> None:
    block = bytes(range(256)) * 2048
    path = folder / "blocks"
    path.write_bytes(block + block + block[:-1] + b"\0")
    size = len(block)
    with path.open("rb") as file:
        first, second, third = (Extent(file, index * size, size) for index in range(3))
        assert first == Extent(file, 0, size)
        assert first == second
        assert second != third
        assert first != first[:-1]
        assert first[:-1] == third[:-1]
        assert first != block
        assert first.read() == block
        assert file.tell() == 0


def test_the_library_is_the_one_that_we_know() -> None:
    source = inspect.getsource(lazy._ORIGINAL)
    assert pyhanko.version.__version__ == "0.38.0"
    assert hashlib.sha256(source.encode()).hexdigest() == REPLACED
    assert generic._maybe_read_stream_payload is lazy._read_payload
