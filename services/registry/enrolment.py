"""Nodes that join: an operator invites, the newcomer shows the token once, and one commit makes it known.

The secret is random (256 bits) and kept nowhere but with the invited: a stolen database opens no door. The
token is used up in the commit that enters node and organization into the directory; the answer is kept with
it, so that a newcomer whose connection broke may ask again by the same request and gets the same answer.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from lienthong.clock import Clock
from lienthong.db import Database, Transaction
from lienthong.envelope import SNAPSHOT_DOMAIN, make_signature
from lienthong.errors import AlreadyExists, FailedPrecondition, InvalidArgument, PermissionDenied
from lienthong.idempotency import content_hash, recall, record
from lienthong.ids import parse_id
from lienthong.pki.keys import SigningKey
from lienthong.pki.requests import Issuers, grant
from lienthong.registry.v1 import directory_pb2, enrolment_pb2
from lienthong.settings import SERVICES
from lienthong.times import to_timestamp
from lienthong.types.v1 import envelope_pb2

from services.registry import directory_convert, directory_store, enrolment_store
from services.registry.directory import import_rows
from services.registry.enrolment_store import Invitation
from services.registry.import_rules import NodeRow, OrganizationRow, merged

LIFETIME: Final = timedelta(days=1)
MAX_LIFETIME: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Parent:
    """What this node tells a newcomer about itself."""

    node: str
    trust_domain: str
    # Where to enrol, and where the services answer, as the newcomer can reach them.
    enrolment_address: str
    addresses: dict[str, str]
    roots: Path
    document_chain: Path | None
    key: SigningKey
    issuers: Issuers | None


class Enrolment:
    """Invitations of one node. `parent` is None where it takes no newcomers."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        parent: Parent | None,
        new_secret: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        self._database = database
        self._clock = clock
        self._parent = parent
        self._new_secret = new_secret

    async def invite(
        self, request: enrolment_pb2.InviteNodeRequest, caller: str
    ) -> enrolment_pb2.InviteNodeResponse:
        """A new token; the rows are judged now, so that the newcomer meets no surprise."""
        parent = self._hosting()
        request_id = parse_id(request.request_id, "request_id")
        secret, now = self._new_secret(), self._clock.now()
        expire_time = now + _lifetime(request)
        content = _content(request, parent.node)
        async with self._database.transaction() as tx:
            if await recall(tx, caller, request_id, content_hash(request)) is not None:
                raise AlreadyExists("TOKEN_SHOWN", "this request was answered, and a token is shown once")
            await self._judge(tx, content)
            invitation = Invitation(
                _hash(secret), content.node.node, content.SerializeToString(), expire_time
            )
            await enrolment_store.invite(tx, invitation, now)
            await record(tx, caller, request_id, b"")
        return enrolment_pb2.InviteNodeResponse(
            secret=secret,
            expire_time=to_timestamp(expire_time),
            enrolment_address=parent.enrolment_address,
            roots=parent.roots.read_bytes(),
        )

    async def enrol(self, request: enrolment_pb2.EnrolNodeRequest) -> enrolment_pb2.EnrolNodeResponse:
        """Use a token up, or repeat the answer to who used it."""
        parent = self._hosting()
        request_id, digest, now = (
            parse_id(request.request_id, "request_id"),
            content_hash(request),
            self._now(),
        )
        async with self._database.transaction() as tx:
            # The directory first, as where one invites: the other order would deadlock. Nobody waits for
            # somebody without a token.
            if await enrolment_store.exists(tx, _hash(request.secret)):
                await directory_store.lock_directory(tx)
            invitation = await enrolment_store.locked(tx, _hash(request.secret))
            if invitation is None:
                raise PermissionDenied("TOKEN_UNKNOWN", "no such token")
            if invitation.response is not None:
                return _repeated(invitation, request_id, digest)
            if now >= invitation.expire_time:
                raise PermissionDenied(
                    "TOKEN_EXPIRED", "the token has expired", expired=invitation.expire_time.isoformat()
                )
            content = enrolment_pb2.InviteNodeRequest.FromString(invitation.content)
            response = self._answer(parent, content, request, now)
            await import_rows(tx, *_rows(content))
            response.snapshot.CopyFrom(await _snapshot(tx, parent, now))
            answer = response.SerializeToString()
            await enrolment_store.use(tx, invitation.secret_hash, request_id, digest, answer, now)
        return response

    def _answer(
        self,
        parent: Parent,
        content: enrolment_pb2.InviteNodeRequest,
        request: enrolment_pb2.EnrolNodeRequest,
        now: datetime,
    ) -> enrolment_pb2.EnrolNodeResponse:
        code = content.node.node
        processes = (f"node/{code}/{service}" for service in ("node", *SERVICES))
        allowed = {f"node/{code}", f"org/{code}", *processes}
        chain = parent.document_chain
        return enrolment_pb2.EnrolNodeResponse(
            node=content.node,
            trust_domain=parent.trust_domain,
            parent=directory_pb2.Node(node=parent.node),
            parent_addresses=parent.addresses,
            roots=parent.roots.read_bytes(),
            document_chain=chain.read_bytes() if chain is not None else b"",
            certificates=grant(request.certificate_requests, allowed, parent.issuers, now),
        )

    async def _judge(self, tx: Transaction, content: enrolment_pb2.InviteNodeRequest) -> None:
        await directory_store.lock_directory(tx)
        known = await directory_store.whole_directory(tx)
        if content.node.node in known.nodes:
            raise AlreadyExists(
                "NODE_ENROLLED", "the directory knows this node already", node=content.node.node
            )
        merged(known, *_rows(content))

    def _hosting(self) -> Parent:
        if self._parent is None:
            raise FailedPrecondition("ENROLMENT_OFF", "this node takes no new nodes")
        return self._parent

    def _now(self) -> datetime:
        return self._clock.now()


async def _snapshot(tx: Transaction, parent: Parent, now: datetime) -> envelope_pb2.SignedEnvelope:
    known = await directory_store.whole_directory(tx)
    payload = enrolment_pb2.DirectorySnapshot(
        time=to_timestamp(now),
        nodes=directory_convert.nodes_to_proto(list(known.nodes.values())).nodes,
        organizations=[directory_convert.organization_to_proto(o) for o in known.organizations.values()],
    ).SerializeToString()
    signature = make_signature(SNAPSHOT_DOMAIN, payload, parent.key)
    return envelope_pb2.SignedEnvelope(payload=payload, signatures=[signature])


def _content(request: enrolment_pb2.InviteNodeRequest, parent: str) -> enrolment_pb2.InviteNodeRequest:
    """Node and organization as they will be imported: a child of this node, serving itself."""
    content = enrolment_pb2.InviteNodeRequest(node=request.node, organization=request.organization)
    if content.node.parent not in ("", parent):
        raise InvalidArgument("NODE_TREE_BROKEN", "the parent is another node", field="node.parent")
    code = content.node.node
    if content.organization.code not in ("", code) or content.organization.node not in ("", code):
        raise InvalidArgument(
            "ORGANIZATION_CODE_INVALID", "a node bears its organization's code", field="organization.code"
        )
    content.node.parent = parent
    content.organization.code = content.organization.node = code
    content.organization.name = content.organization.name or content.node.name
    content.organization.tier = content.organization.tier or content.node.tier
    return content


def _rows(
    content: enrolment_pb2.InviteNodeRequest,
) -> tuple[list[NodeRow], list[OrganizationRow]]:
    return directory_convert.rows_from_proto(
        directory_pb2.ImportOrganizationsRequest(nodes=[content.node], organizations=[content.organization])
    )


def _lifetime(request: enrolment_pb2.InviteNodeRequest) -> timedelta:
    if not request.HasField("lifetime"):
        return LIFETIME
    lifetime = request.lifetime.ToTimedelta()
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise InvalidArgument("VALIDITY_INVALID", "a token is good for at most 30 days", field="lifetime")
    return lifetime


def _repeated(invitation: Invitation, request_id: UUID, digest: bytes) -> enrolment_pb2.EnrolNodeResponse:
    if (invitation.request_id, invitation.request_hash) != (request_id, digest):
        raise PermissionDenied("TOKEN_USED", "the token was used", node=invitation.node)
    return enrolment_pb2.EnrolNodeResponse.FromString(invitation.response or b"")


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
