"""Raising our own signatures to level B-T later: the timestamp authority may have taken minutes to answer."""

import asyncio
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from lienthong.errors import FailedPrecondition
from lxml import etree

from services.signing.domain import Timestamper
from services.signing.ooxml import core, names, xades, xml
from services.signing.ooxml.archive import rewrite
from services.signing.ooxml.package import Package
from services.signing.ooxml.survey import survey

_STAMP = f".//{{{names.XADES}}}UnsignedSignatureProperties/{{{names.XADES}}}SignatureTimeStamp"


async def extend_package(
    source: Path,
    target: Path,
    timestamper: Timestamper,
    ours: Callable[[x509.Certificate], bool] = lambda _: True,
) -> int:
    """Stamp every signature of `source` that `ours` accepts and that has no timestamp; returns how many.

    Signature parts are covered by no signature, and a timestamp goes where none is, so all stay valid. The
    file is copied to the byte where nothing is missing. A signature that does not verify is not stamped
    (InvalidArgument SIGNATURE_BROKEN and its like).
    """
    roots = await asyncio.to_thread(_unstamped, source, ours)
    for root in roots.values():
        digest = hashlib.sha256(xades.value_to_stamp(root)).digest()
        xades.add_timestamp(root, await timestamper.timestamp(digest, "sha256"))
    await asyncio.to_thread(
        _write, source, target, {part: xml.serialize(root) for part, root in roots.items()}
    )
    return len(roots)


def _unstamped(source: Path, ours: Callable[[x509.Certificate], bool]) -> dict[str, etree._Element]:
    with Package.open(source) as package:
        found = survey(package)
        if not found.signatures:
            raise FailedPrecondition("DOCUMENT_NOT_SIGNED", "the document carries no signature to stamp")
        opened = {part: core.open_signature(package, part) for part in found.signatures}
    return {
        part: signature.root
        for part, signature in opened.items()
        if signature.root.find(_STAMP) is None
        and signature.properties is not None
        and ours(signature.certificate)
    }


def _write(source: Path, target: Path, changed: dict[str, bytes]) -> None:
    if not changed:
        if source != target:
            shutil.copyfile(source, target)
        return
    with Package.open(source) as package:
        rewrite(package, target, changed)
