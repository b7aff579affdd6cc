"""Puts signing together: the only place that constructs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from cryptography import x509
from lienthong import db
from lienthong.app import App, Background, Close
from lienthong.clock import Clock, SystemClock
from lienthong.db import Database
from lienthong.errors import FailedPrecondition, InvalidArgument, Unavailable
from lienthong.ids import IdFactory, new_id
from lienthong.migrations import require_head
from lienthong.pki.identity import parse_identity
from lienthong.pki.keys import load_signing_key
from lienthong.pki.revocation import RevocationFiles
from lienthong.pki.trust import TrustStore
from lienthong.preflight import check_folder, open_database
from lienthong.rpc.health import Check
from lienthong.rpc.streams import Gate
from lienthong.settings import NodeSettings
from lienthong.signing.v1 import signing_pb2_grpc

from services.signing import store
from services.signing.clock_watch import ClockWatch
from services.signing.detached import DetachedSignatures
from services.signing.documents import Documents
from services.signing.domain import Timestamper
from services.signing.endpoint import TimestampEndpoint
from services.signing.envelopes import EnvelopeSigner
from services.signing.keys import KeyRing, load_keys
from services.signing.serials import Serials
from services.signing.service import Desk, SigningService, TimestampService, ValidationService
from services.signing.settings import AuthoritySettings, SigningProcess, SigningSettings
from services.signing.spool import Spool
from services.signing.timestamps import HttpTimestamper, LocalTimestamper
from services.signing.tsa import TimestampAuthority
from services.signing.workers import Workers

PACKAGE: Final = "services.signing"


@dataclass(frozen=True, slots=True)
class _Stamping:
    """The node's own timestamp authority with what keeps it going."""

    authority: TimestampAuthority
    background: tuple[Background, ...]
    checks: dict[str, Check]
    close: tuple[Close, ...]


async def build(
    settings: SigningSettings,
    *,
    node: NodeSettings,
    database: Database,
    clock: Clock | None = None,
    new_id: IdFactory = new_id,
) -> App:
    """Signing of one node. The caller owns the database, which is migrated."""
    clock = clock or SystemClock()
    await require_head(database, PACKAGE)
    trust = _trust(settings)
    timestamp_trust = TrustStore.load(settings.timestamp_roots) if settings.timestamp_roots else trust
    ring = KeyRing(load_keys(settings.keys, node.trust_domain, settings.bindings), trust, clock, node.node)
    check_folder(settings.spool, "signing.spool")
    spool = Spool(settings.spool, settings.max_document_bytes)
    spool.open()
    stamping = await _stamping(settings, database, clock) if settings.tsa else None
    authority = stamping.authority if stamping else None
    remote = HttpTimestamper(settings.tsa_urls, timestamp_trust, clock) if settings.tsa_urls else None
    timestamper: Timestamper = remote or (LocalTimestamper(authority) if authority else NoTimestamper())
    workers = Workers(settings.workers)
    documents = Documents(trust, clock, workers, timestamp_trust, timestamper)
    detached = DetachedSignatures(trust, clock, workers, timestamp_trust, timestamper)
    signing = SigningService(
        _desk(settings, spool, settings.signing_places),
        documents,
        detached,
        ring,
        EnvelopeSigner(ring, workers),
        database,
        clock,
        new_id,
    )
    validation = ValidationService(_desk(settings, spool, settings.validating_places), documents, detached)
    return App(
        name="signing",
        servicers=[
            (signing_pb2_grpc.add_SigningServiceServicer_to_server, signing),
            (signing_pb2_grpc.add_ValidationServiceServicer_to_server, validation),
            (signing_pb2_grpc.add_TimestampServiceServicer_to_server, TimestampService(authority)),
        ],
        background=[
            RevocationFiles(settings.crls, trust, clock).run,
            *(stamping.background if stamping else ()),
        ],
        checks={
            "database": database.check_ready,
            "keys": ring.check_ready,
            **(stamping.checks if stamping else {}),
        },
        close=[
            workers.close,
            *([remote.close] if remote else []),
            *(stamping.close if stamping else ()),
        ],
    )


async def build_process(settings: SigningProcess) -> Sequence[App]:
    """Signing alone in a process."""
    database = await open_database(settings.signing.database, SystemClock(), application_name="signing")
    owner = App(name="signing-database", close=[database.close])
    return [owner, await build(settings.signing, node=settings, database=database)]


class NoTimestamper:
    """Stands where neither an authority of others nor an own one is set."""

    async def timestamp(self, digest: bytes, algorithm: str) -> bytes:  # noqa: ARG002
        raise Unavailable("TIMESTAMP_UNAVAILABLE", "no timestamp authority is set for this node")


async def _stamping(settings: SigningSettings, database: Database, clock: Clock) -> _Stamping:
    assert settings.tsa is not None
    watch = ClockWatch(clock, partial(db.now, database), settings.clock_tolerance)
    await watch.compare()
    serials = Serials(partial(store.reserve_serials, database), clock)
    await serials.fill()
    authority = _authority(settings.tsa, clock, serials, watch)

    async def certificate_holds() -> None:
        if clock.now() > authority.certificate.not_valid_after_utc:
            raise FailedPrecondition(
                "SIGNER_CERTIFICATE_EXPIRED", "the timestamp authority's certificate has expired"
            )

    background: list[Background] = [watch.run, serials.run]
    close: list[Close] = []
    checks: dict[str, Check] = {"clock": watch.check_ready, "timestamp-certificate": certificate_holds}
    if settings.tsa_listen:
        endpoint = TimestampEndpoint(authority, settings.tsa_listen)
        background.append(endpoint.run)
        close.append(endpoint.close)
    return _Stamping(authority, tuple(background), checks, tuple(close))


def _authority(
    settings: AuthoritySettings, clock: Clock, serials: Serials, watch: ClockWatch
) -> TimestampAuthority:
    key = load_signing_key(settings.key, settings.chain)
    try:
        return TimestampAuthority(
            key.sign,
            key.certificate,
            [x509.load_der_x509_certificate(der) for der in key.chain],
            clock=clock,
            serials=serials.take,
            clock_trusted=watch.is_trusted,
            policy=settings.policy,
        )
    except ValueError as error:
        raise InvalidArgument("SETTINGS_INVALID", f"signing.tsa: {error}", file=settings.chain) from error


def _trust(settings: SigningSettings) -> TrustStore:
    try:
        loaded = TrustStore.load(settings.document_roots, settings.document_intermediates, settings.crls)
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            "SETTINGS_INVALID", f"signing: roots, intermediates or revocation lists: {error}"
        ) from error
    bindings = {fingerprint: parse_identity(uri) for fingerprint, uri in settings.bindings.items()}
    return TrustStore(loaded.roots, loaded.intermediates, loaded.crls, bindings)


def _desk(settings: SigningSettings, spool: Spool, places: int) -> Desk:
    return Desk(spool, Gate(places, settings.busy_patience, "SIGNING_BUSY"), settings.stall_patience)
