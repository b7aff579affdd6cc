"""A signing world for tests: TEST hierarchy, timestamps of our own authority, an agency, its leader."""

import asyncio
import itertools
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from asn1crypto import tsp
from lienthong.clock import Clock
from lienthong.pki.issuing import Issued
from lienthong.pki.testing import TestAuthority
from lienthong.pki.trust import TrustStore

from services.signing.domain import Appearance, IssueMark
from services.signing.pdf.sealing import seal
from services.signing.pdf.signer import DocumentSigner
from services.signing.pdf.signing import SigningContext, sign_leader
from services.signing.pdf.validating import Validator
from services.signing.timestamps import build_query
from services.signing.tsa import TimestampAuthority, private_key_signer

CODE = "G22"
AGENCY_NAME = "Cơ quan Mẫu Trung ương"
LEADER_NAME = "Nguyễn Thị Mẫu"
MARK = IssueMark(5, "CQM-TH", date(2026, 2, 5))
LEADER_LOOK = Appearance(LEADER_NAME, specimen=True)
SEAL_LOOK = Appearance(AGENCY_NAME, specimen=True)


class AuthorityTimestamper:
    """Asks our timestamp authority in this process, and counts how often."""

    def __init__(self, authority: TimestampAuthority) -> None:
        self._authority = authority
        self.calls = 0

    async def timestamp(self, digest: bytes, algorithm: str) -> bytes:
        self.calls += 1
        reply = self._authority.respond(build_query(digest, algorithm, self.calls))
        return bytes(tsp.TimeStampResp.load(reply)["time_stamp_token"].dump())


@dataclass
class SigningWorld:
    """Everything needed to sign and to judge."""

    authority: TestAuthority
    context: SigningContext
    timestamper: AuthorityTimestamper
    validator: Validator
    leader: DocumentSigner
    agency: DocumentSigner

    @property
    def clock(self) -> Clock:
        return self.context.clock

    async def signed(self, prepared: Path, output: Path) -> Path:
        """The prepared document with the leader's signature (B-T)."""
        await sign_leader(prepared, output, self.leader, self.context, LEADER_LOOK, self.timestamper)
        return output

    async def sealed(self, signed: Path, output: Path, mark: IssueMark = MARK) -> Path:
        """The signed document with number, date and the agency's signature (B-B)."""
        looks = (mark, self.agency, self.context, self.validator, SEAL_LOOK)
        await asyncio.to_thread(seal, signed, output, *looks)
        return output


def load_signer(issued: Issued) -> DocumentSigner:
    return DocumentSigner.load(issued.certificate_path, issued.key_path, issued.chain())


def timestamper_of(issued: Issued, clock: Clock) -> AuthorityTimestamper:
    serials = itertools.count(1)
    authority = TimestampAuthority(
        private_key_signer(issued.key()),
        issued.certificate(),
        issued.chain(),
        clock=clock,
        serials=lambda: next(serials),
    )
    return AuthorityTimestamper(authority)


def signing_world(folder: Path, clock: Clock) -> SigningWorld:
    """A new hierarchy in `folder`, one agency with one leader, all trusted."""
    authority = TestAuthority.create(folder, clock)
    trust = TrustStore.load(authority.roots_path, authority.document_chain_path, authority.crl_paths)
    return SigningWorld(
        authority=authority,
        context=SigningContext(trust, clock),
        timestamper=timestamper_of(authority.timestamp_authority(), clock),
        validator=Validator(trust, trust, clock),
        leader=load_signer(authority.leader(CODE, "nguyen-thi-mau", LEADER_NAME, AGENCY_NAME)),
        agency=load_signer(authority.agency_seal(CODE, AGENCY_NAME)),
    )
