"""What is looked at before a process serves: each thing that operators get wrong, named with what to do.

A node that starts and then fails at the first document costs a night; one that refuses to start costs a line.
"""

from __future__ import annotations

import secrets
import shutil
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg
from cryptography import x509
from lienthong.clock import Clock
from lienthong.db import Database
from lienthong.errors import DomainError, FailedPrecondition, InvalidArgument, Unavailable
from lienthong.pki.identity import Identity, Kind, identity_of
from lienthong.pki.keys import load_signing_key
from lienthong.pki.trust import TrustStore
from lienthong.pki.usage import TRANSPORT_USAGES
from lienthong.settings import DatabaseSettings, NodeSettings, TlsSettings

OLDEST_POSTGRES: Final = 150_000
CLOCK_TOLERANCE: Final = 60.0
ROOM: Final = 256 * 1024 * 1024
"""Bytes that a disk needs free for a process to start at all."""


def check_process(settings: NodeSettings, now: datetime) -> None:
    """What every process needs: its certificate, and a place for its spans."""
    check_certificate(
        settings.tls,
        Identity(settings.trust_domain, Kind.NODE, node=settings.node, service=settings.service),
        now,
    )
    if settings.telemetry.spans_file is not None:
        check_folder(settings.telemetry.spans_file.parent, "telemetry.spans_file")


def check_certificate(tls: TlsSettings, identity: Identity, now: datetime) -> None:
    """That the TLS files are of this identity, of this mesh, for this key, and of today.

    SETTINGS_INVALID (unreadable), KEY_ and CERTIFICATE_ reasons of the libraries, CERTIFICATE_FOREIGN.
    """
    try:
        key = load_signing_key(tls.key, tls.certificate)
        roots = x509.load_pem_x509_certificates(tls.roots.read_bytes())
    except OSError as error:
        raise _unreadable(Path(error.filename or tls.key), error) from None
    except ValueError:
        raise InvalidArgument("CERTIFICATE_MALFORMED", f"{tls.roots} is not PEM", path=tls.roots) from None
    found = _identity(key.certificate, tls.certificate)
    if found.trust_domain != identity.trust_domain:
        raise FailedPrecondition(
            "CERTIFICATE_FOREIGN",
            f"{tls.certificate} is of the mesh {found.trust_domain}, this node's is {identity.trust_domain}",
            path=tls.certificate,
            trust_domain=found.trust_domain,
        )
    if found != identity:
        raise FailedPrecondition(
            "CERTIFICATE_FOREIGN",
            f"{tls.certificate} is of {found.path}, this process is {identity.path}",
            path=tls.certificate,
            identity=found.uri,
        )
    try:
        TrustStore(roots).verify_der(key.chain, now, TRANSPORT_USAGES)
    except DomainError as refusal:
        refusal.message = f"{tls.certificate}: {refusal.message}"
        refusal.metadata["path"] = str(tls.certificate)
        if refusal.reason == "CERTIFICATE_UNTRUSTED":
            # The usual cause: roots of one mesh beside a certificate of another.
            refusal.message += f" in {tls.roots}"
        raise


def check_folder(folder: Path, setting: str, *, room: int = ROOM) -> None:
    """That files can be made in a folder (made here if need be) and that its disk has so many bytes left.

    FOLDER_NOT_WRITABLE, DISK_NEARLY_FULL.
    """
    # No process id: in containers all are number 1, and two may share the folder.
    probe = folder / f".written-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise FailedPrecondition(
            "FOLDER_NOT_WRITABLE",
            f"{setting}: nothing can be written in {folder}: {error.strerror}",
            path=folder,
            setting=setting,
        ) from None
    free = shutil.disk_usage(folder).free
    if free < room:
        raise FailedPrecondition(
            "DISK_NEARLY_FULL",
            f"{setting}: the disk of {folder} has {free >> 20} MiB left, {room >> 20} MiB are needed",
            path=folder,
            setting=setting,
            free_bytes=free,
            needed_bytes=room,
        )


async def open_database(settings: DatabaseSettings, clock: Clock, *, application_name: str) -> Database:
    """Open a service's database, of a version that works, whose clock agrees with ours.

    DATABASE_UNAVAILABLE, DATABASE_REFUSED, DATABASE_TOO_OLD, CLOCK_OFF.
    """
    try:
        database = await Database.open(settings, application_name=application_name)
    except Unavailable as error:
        error.message = f"{place(settings.url)} does not answer"
        raise
    except (OSError, asyncpg.PostgresError) as error:
        # No such database, no such user, a wrong password, an unreadable password file.
        problem = " ".join(str(error).split())[:200]
        raise FailedPrecondition(
            "DATABASE_REFUSED", f"{place(settings.url)}: {problem}", database=place(settings.url)
        ) from None
    try:
        await _check_version(database)
        await check_clock(database, clock)
    except BaseException:
        await database.close()
        raise
    return database


def place(url: str) -> str:
    """Where a database is, without who asks and with what password."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2] or 'the local server'}{parts.path}"


async def check_clock(database: Database, clock: Clock) -> None:
    """That this machine's clock and the database's differ by less than a minute: one of the two is wrong, and
    dates of documents, expiry and leases are reckoned by both."""
    before = clock.now()
    witnessed: datetime = await database.fetchval("SELECT clock_timestamp()")
    after = clock.now()
    # What the question took is doubt, not difference.
    apart = max((before - witnessed).total_seconds(), (witnessed - after).total_seconds())
    if apart > CLOCK_TOLERANCE:
        side = "ahead of" if before > witnessed else "behind"
        raise FailedPrecondition(
            "CLOCK_OFF",
            f"this machine's clock is {apart:.0f} s {side} the database's",
            seconds=round(apart),
            clock=before.isoformat(timespec="seconds"),
            database_clock=witnessed.isoformat(timespec="seconds"),
        )


async def _check_version(database: Database) -> None:
    version = int(await database.fetchval("SELECT current_setting('server_version_num')"))
    if version < OLDEST_POSTGRES:
        raise FailedPrecondition(
            "DATABASE_TOO_OLD",
            f"PostgreSQL {version // 10_000} is too old: {OLDEST_POSTGRES // 10_000} or newer is needed",
            version=version,
        )


def _identity(certificate: x509.Certificate, path: Path) -> Identity:
    try:
        return identity_of(certificate)
    except InvalidArgument as error:
        error.message = f"{path}: {error.message}"
        raise


def _unreadable(path: Path, error: OSError) -> InvalidArgument:
    return InvalidArgument(
        "SETTINGS_INVALID", f"cannot read the TLS file {path}: {error.strerror}", path=path, field="tls"
    )
