"""The audit log of document signatures, and blocks of timestamp serials."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from lienthong.db import Queries, Transaction

from services.signing.orders import Purpose


@dataclass(frozen=True, slots=True)
class SignatureRecord:
    """One signature made: who asked, in whose name, what went in, what came out, with which key."""

    signature_id: UUID
    time: datetime
    caller: str
    purpose: Purpose
    organization: str
    clerk: str
    document_id: str
    sha256_in: bytes
    sha256_out: bytes
    key_fingerprint: bytes


_APPEND = """
    INSERT INTO signature (signature_id, sign_time, caller, purpose, organization, clerk, document_id,
                           sha256_in, sha256_out, key_fingerprint)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""


async def append(tx: Transaction, record: SignatureRecord) -> None:
    """Write down a signature, before its bytes leave."""
    await tx.execute(
        _APPEND,
        record.signature_id,
        record.time,
        record.caller,
        record.purpose.value,
        record.organization,
        record.clerk,
        record.document_id,
        record.sha256_in,
        record.sha256_out,
        record.key_fingerprint,
    )


async def signatures_of(queries: Queries, document_id: str) -> list[SignatureRecord]:
    """What was signed of one document, in the order in which it was."""
    rows = await queries.fetch(
        "SELECT * FROM signature WHERE document_id = $1 ORDER BY sign_time, signature_id", document_id
    )
    return [
        SignatureRecord(
            signature_id=row["signature_id"],
            time=row["sign_time"],
            caller=row["caller"],
            purpose=Purpose(row["purpose"]),
            organization=row["organization"],
            clerk=row["clerk"],
            document_id=row["document_id"],
            sha256_in=row["sha256_in"],
            sha256_out=row["sha256_out"],
            key_fingerprint=row["key_fingerprint"],
        )
        for row in rows
    ]


async def reserve_serials(queries: Queries) -> int:
    """The number of a block of serials that nobody else gets: a sequence gives none twice, commit or not."""
    number: int = await queries.fetchval("SELECT nextval('timestamp_serial')")
    return number
