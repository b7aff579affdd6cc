"""Judges grants: the word of this node's routing, and nobody else's, moves bytes (design R5)."""

from __future__ import annotations

from dataclasses import dataclass

from lienthong.clock import Clock
from lienthong.errors import DomainError, PermissionDenied
from lienthong.grant import verify_grant
from lienthong.pki.trust import TrustStore
from lienthong.types.v1 import grant_pb2

from services.storage import convert
from services.storage.domain import Claim, Grant, Purpose, check_grant


@dataclass(frozen=True, slots=True)
class GrantDesk:
    """Where grants are shown. Every refusal is GRANT_MISSING, GRANT_INVALID or GRANT_EXPIRED."""

    trust: TrustStore
    clock: Clock
    node: str
    trust_domain: str

    def check(
        self,
        signed: grant_pb2.SignedGrant,
        purpose: Purpose,
        beneficiary: str,
        digests: frozenset[bytes],
    ) -> Grant:
        """The grant, if it lets this beneficiary do this to these digests at this node now."""
        if not signed.payload:
            raise PermissionDenied("GRANT_MISSING", "a grant of this node's routing is needed")
        grant = self._verified(signed)
        check_grant(grant, Claim(self.node, self.trust_domain, purpose, beneficiary, digests))
        return grant

    def _verified(self, signed: grant_pb2.SignedGrant) -> Grant:
        try:
            return convert.grant_from_proto(verify_grant(signed, self.trust, self.clock))
        except DomainError as refusal:
            if refusal.reason == "GRANT_EXPIRED":
                raise
            raise PermissionDenied(
                "GRANT_INVALID", f"the grant is not good: {refusal.message}", cause=refusal.reason
            ) from refusal
