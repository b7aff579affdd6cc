"""Invitations of nodes that are to join under this one."""

from __future__ import annotations

from alembic import op

revision = "0002_invitations"
down_revision = "0001_registry"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE invitation (
            -- Of the token's secret, which is nowhere else but with the invited.
            secret_hash  bytea       PRIMARY KEY CHECK (octet_length(secret_hash) = 32),
            node         text        NOT NULL,
            content      bytea       NOT NULL,
            create_time  timestamptz NOT NULL,
            expire_time  timestamptz NOT NULL,
            use_time     timestamptz,
            -- Who used it, and the answer for a repeat: the newcomer may have lost it.
            request_id   uuid,
            request_hash bytea,
            response     bytea,
            CHECK ((use_time IS NULL) = (response IS NULL))
        );
        -- One open invitation a node: the later one ends the earlier.
        CREATE UNIQUE INDEX invitation_open ON invitation (node) WHERE use_time IS NULL;
    """)
