"""What is done to a document, whichever format it has: files in and out, errors in the contract's words."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lienthong.clock import Clock
from lienthong.errors import (
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
)
from lienthong.pki.trust import TrustStore

from services.signing.domain import (
    FieldPlacements,
    IssueMark,
    Reason,
    Timestamper,
    ValidationReport,
    Verdict,
)
from services.signing.keys import HeldKey
from services.signing.ooxml.extend import extend_package
from services.signing.ooxml.sign import require_signable, sign_package
from services.signing.ooxml.verify import PackageValidator
from services.signing.orders import HEAD_BYTES, Format, Purpose, actual_format, require_format
from services.signing.pdf.extending import insert_token, pending_stamp
from services.signing.pdf.preparing import prepare
from services.signing.pdf.sealing import require_annex, require_sealable, seal, sign_annex
from services.signing.pdf.signer import DocumentSigner
from services.signing.pdf.signing import SigningContext, sign_personal
from services.signing.pdf.validating import Validator
from services.signing.workers import Workers

_log: Final = logging.getLogger(__name__)

# The halves name what they see in a file; the contract names what a caller can do about it.
_CONTRACT: Final[Mapping[str, tuple[type[DomainError], str]]] = {
    "FIELD_ALREADY_FILLED": (FailedPrecondition, "NUMBER_ALREADY_FILLED"),
    "DOCUMENT_ALREADY_SEALED": (FailedPrecondition, "FIELD_ALREADY_SIGNED"),
    "DOCUMENT_NOT_SIGNED": (FailedPrecondition, "SIGNATURE_MISSING"),
    "STAMP_SPACE_EXHAUSTED": (FailedPrecondition, "TIMESTAMP_ROOM_MISSING"),
    "DOCUMENT_ALREADY_SIGNED": (InvalidArgument, "DOCUMENT_ALREADY_SIGNED"),
    "DOCUMENT_TOO_LARGE": (ResourceExhausted, "DOCUMENT_TOO_LARGE"),
}
_STAMPED_WITH: Final = "sha256"


class Documents:
    """Signs, stamps and judges. CPU work runs on the workers, waiting does not."""

    def __init__(
        self,
        trust: TrustStore,
        clock: Clock,
        workers: Workers,
        timestamp_trust: TrustStore,
        timestamper: Timestamper,
    ) -> None:
        self._clock, self._workers, self._timestamper = clock, workers, timestamper
        self._context = SigningContext(trust, clock)
        self._pdf = Validator(trust, timestamp_trust, clock)
        self._ooxml = PackageValidator(trust, timestamp_trust, clock)

    async def prepare(self, source: Path, target: Path, placements: FieldPlacements) -> None:
        """Place the four fields into a PDF that nobody signed yet."""
        with _contract_words():
            await self._workers.run(_require, source, Format.PDF)
            await self._workers.run(prepare, source, target, placements)

    async def sign_personal(self, source: Path, target: Path, kind: Format, held: HeldKey) -> None:
        """A person's signature, stamped at once (B-T): under the agency's it can be stamped no more."""
        with _contract_words():
            await self._workers.run(_require, source, kind)
            if kind is Format.PDF:
                look = held.appearance
                await self._workers.run(sign_personal, source, target, _signer(held), self._context, look)
                await self._stamp_pdf(target, target)
            else:
                now = self._clock.now()
                await sign_package(source, target, held.key, time=now, timestamper=self._timestamper)

    async def seal(self, source: Path, target: Path, mark: IssueMark, held: HeldKey) -> None:
        """Number, date and the agency's seal on the main document (B-B with room for a token)."""
        with _contract_words():
            await self._workers.run(_require, source, Format.PDF)
            look = held.appearance
            await self._workers.run(seal, source, target, mark, _signer(held), self._context, self._pdf, look)

    async def annex(self, source: Path, target: Path, kind: Format, mark: IssueMark, held: HeldKey) -> None:
        """The agency's signature on an annex, which names number, notation and date (B-B with room)."""
        with _contract_words():
            await self._workers.run(_require, source, kind)
            if kind is Format.PDF:
                await self._workers.run(sign_annex, source, target, mark, _signer(held), self._context)
            else:
                await sign_package(source, target, held.key, time=self._clock.now(), mark=mark)

    async def extend(self, source: Path, target: Path, kind: Format) -> None:
        """Stamp the last signature; one that is stamped already stays as it is, to the byte."""
        with _contract_words():
            await self._workers.run(_require, source, kind)
            if kind is Format.PDF:
                await self._stamp_pdf(source, target)
            elif not await extend_package(source, target, self._timestamper):
                await asyncio.to_thread(shutil.copyfile, source, target)

    async def validate(self, source: Path, declared: Format | None) -> ValidationReport:
        """The verdict on a file; whatever the bytes are, there is one."""
        if declared is None:
            return _not_declared()
        try:
            judge = self._pdf.validate if declared is Format.PDF else self._ooxml.validate
            return await self._workers.run(_judged, source, declared, judge)
        except OSError:
            raise  # our disk, not the document
        except Exception:
            # Both judges promise not to raise; a file that breaks the promise is no less bad for it.
            _log.exception("a judge failed")
            return ValidationReport(Verdict.INVALID, reasons=(Reason.DOCUMENT_BROKEN,))

    async def obstacles(
        self, source: Path, kind: Format, intended: Purpose, organization: str, report: ValidationReport
    ) -> tuple[str, ...]:
        """Why the document could not be given the agency's signature, before a number is taken for it."""
        try:
            with _contract_words():
                if intended is Purpose.SEAL:
                    _require(source, Format.PDF)
                    await self._workers.run(require_sealable, source, report, organization)
                elif kind is Format.PDF:
                    await self._workers.run(require_annex, source)
                else:
                    await self._workers.run(require_signable, source)
        except DomainError as obstacle:
            return (obstacle.reason,)
        return ()

    async def _stamp_pdf(self, source: Path, target: Path) -> None:
        pending = await self._workers.run(pending_stamp, source)
        if not pending.stamped:
            token = await self._timestamper.timestamp(pending.digest, _STAMPED_WITH)
            await self._workers.run(insert_token, source, target, pending, token)
        elif target != source:
            await asyncio.to_thread(shutil.copyfile, source, target)


def _judged(source: Path, declared: Format, judge: Callable[[Path], ValidationReport]) -> ValidationReport:
    return judge(source) if actual_format(_head(source)) is declared else _not_declared()


def _not_declared() -> ValidationReport:
    return ValidationReport(Verdict.INVALID, reasons=(Reason.DOCUMENT_FORMAT,))


def _signer(held: HeldKey) -> DocumentSigner:
    assert held.signer is not None, "the ring gives document keys with their signers"
    return held.signer


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _require(path: Path, kind: Format) -> None:
    require_format(kind, _head(path))


@contextmanager
def _contract_words() -> Iterator[None]:
    try:
        yield
    except DomainError as error:
        if error.reason not in _CONTRACT:
            raise
        kind, reason = _CONTRACT[error.reason]
        renamed = kind(reason, error.message)
        renamed.metadata.update(error.metadata)
        raise renamed from error
