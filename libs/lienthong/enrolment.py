"""Joining a mesh, from the outside: the token an operator hands over, and what a new node does with it.

    token = await invite(connection, node, organization)      # an operator, at the parent
    token.write(Path("H01.20.token"))
    ...                                                       # carried to the new machine
    enrolled = await enrol(Token.read(path), {identity: folder, ...})

Keys are made on the new machine and never leave it. A broken enrolment is run again: keys, requests and the
request id stay the same, so the parent repeats its first answer.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.duration_pb2 import Duration
from lienthong.client.connection import Connection
from lienthong.clock import Clock, SystemClock
from lienthong.envelope import SNAPSHOT_DOMAIN, check_signature
from lienthong.errors import InvalidArgument, PermissionDenied
from lienthong.files import write_whole
from lienthong.pki.identity import Identity, Kind
from lienthong.pki.issuing import Issued, load_key, write_private, write_public
from lienthong.pki.requests import certificate_request
from lienthong.pki.trust import TrustStore
from lienthong.pki.usage import TRANSPORT_USAGES
from lienthong.registry.v1 import directory_pb2, enrolment_pb2, enrolment_pb2_grpc
from lienthong.rpc.newcomers import newcomer_channel
from lienthong.settings import NodeCode, Section
from lienthong.times import from_timestamp
from pydantic import ValidationError

_REQUESTS: Final = uuid.UUID("5f0e6f0c-6d0a-4f7b-9d57-7c2c3d8f1a10")


class Token(Section):
    """What the invited is given: whom to ask, how to know it, and the secret. A file of mode 0600."""

    node: NodeCode
    parent: NodeCode
    address: str
    secret: str
    expire_time: datetime
    roots: str

    @classmethod
    def read(cls, file: Path) -> Token:
        """The token of a file, or InvalidArgument("TOKEN_INVALID")."""
        try:
            return cls.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, yaml.YAMLError, ValidationError) as error:
            kind = type(error).__name__  # what pydantic says would show the secret
            raise InvalidArgument("TOKEN_INVALID", f"{file} holds no token ({kind})", path=file) from None

    def write(self, file: Path) -> None:
        """Write it for its owner alone."""
        text = yaml.safe_dump(self.model_dump(), allow_unicode=True, sort_keys=False)
        write_whole(file, text.encode(), mode=0o600)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What the new node knows now; `snapshot` is verified. Certificates lie in the folders given."""

    response: enrolment_pb2.EnrolNodeResponse
    snapshot: enrolment_pb2.DirectorySnapshot


async def invite(
    connection: Connection,
    node: directory_pb2.Node,
    organization: directory_pb2.Organization,
    *,
    lifetime: timedelta | None = None,
) -> Token:
    """A token for a node that is to join under the node of this connection, which is an operator's."""
    request = enrolment_pb2.InviteNodeRequest(
        request_id=str(connection.new_id()), node=node, organization=organization
    )
    if lifetime is not None:
        request.lifetime.CopyFrom(Duration(seconds=int(lifetime.total_seconds())))
    answer = await connection.stub(enrolment_pb2_grpc.EnrolmentServiceStub, "registry").InviteNode(request)
    return Token(
        node=node.node,
        parent=connection.node,
        address=answer.enrolment_address,
        secret=answer.secret,
        expire_time=from_timestamp(answer.expire_time),
        roots=answer.roots.decode(),
    )


async def enrol(token: Token, folders: Mapping[Identity, Path], *, clock: Clock | None = None) -> Enrolled:
    """Join by a token. Each folder ends with key.pem, certificate.pem and chain.pem of its identity.

    TOKEN_UNKNOWN, TOKEN_EXPIRED, TOKEN_USED, ISSUER_MISSING, CERTIFICATE_REQUEST_INVALID of the parent;
    SNAPSHOT_INVALID where its directory is not signed by it. An empty mapping asks for no certificates.
    """
    request = enrolment_pb2.EnrolNodeRequest(
        request_id=str(uuid.uuid5(_REQUESTS, token.secret)),
        secret=token.secret,
        certificate_requests=[_request(folder, identity) for identity, folder in folders.items()],
    )
    channel = newcomer_channel(token.address, token.roots.encode(), token.parent)
    try:
        response = await enrolment_pb2_grpc.EnrolmentServiceStub(channel).EnrolNode(request)
    finally:
        await channel.close()
    snapshot = _verified(response, token, clock or SystemClock())
    for folder, chain in zip(folders.values(), response.certificates, strict=True):
        _keep(Issued(folder), chain)
    return Enrolled(response, snapshot)


def _request(folder: Path, identity: Identity) -> bytes:
    """The request of a folder, made once: a repeat must be the same to the byte."""
    kept = folder / "request.der"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        files = Issued(folder)
        if not files.key_path.exists():
            write_private(files.key_path, ec.generate_private_key(ec.SECP256R1()))
        write_whole(kept, certificate_request(load_key(files.key_path), identity))
    return kept.read_bytes()


def _keep(files: Issued, chain: bytes) -> None:
    certificates = x509.load_pem_x509_certificates(chain)
    if certificates[0].public_key() != files.key().public_key():
        raise PermissionDenied("KEY_CERTIFICATE_MISMATCH", "the certificate is for another key")
    write_whole(files.chain_path, chain)
    write_public(files.certificate_path, certificates[0])


def _verified(
    response: enrolment_pb2.EnrolNodeResponse, token: Token, clock: Clock
) -> enrolment_pb2.DirectorySnapshot:
    """The directory, signed by the registry of the parent that the token names and nobody else."""
    payload, signatures = response.snapshot.payload, response.snapshot.signatures
    trust = TrustStore(x509.load_pem_x509_certificates(token.roots.encode()))
    if len(signatures) != 1:
        raise PermissionDenied("SNAPSHOT_INVALID", "the directory is not signed once")
    now = clock.now().astimezone(UTC)
    signer = check_signature(SNAPSHOT_DOMAIN, payload, signatures[0], trust, now, TRANSPORT_USAGES).identity
    if signer.kind is not Kind.NODE or signer.node != token.parent:
        raise PermissionDenied(
            "SNAPSHOT_INVALID", "the directory is signed by another node", signer=signer.uri
        )
    return enrolment_pb2.DirectorySnapshot.FromString(payload)
