"""Blobs, who may submit them, who holds them."""

from __future__ import annotations

from alembic import op

revision = "0001_blobs"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE blob (
            sha256           bytea       PRIMARY KEY CHECK (octet_length(sha256) = 32),
            size_bytes       bigint      NOT NULL CHECK (size_bytes >= 0),
            create_time      timestamptz NOT NULL,
            grace_until      timestamptz NOT NULL,
            -- Set once the collector has decided: from then on the blob is not here for anybody.
            collecting_since timestamptz
        );
        CREATE INDEX blob_grace ON blob (grace_until) WHERE collecting_since IS NULL;
        CREATE INDEX blob_collecting ON blob (collecting_since) WHERE collecting_since IS NOT NULL;

        CREATE TABLE upload_grant (
            sha256       bytea       NOT NULL REFERENCES blob ON DELETE CASCADE,
            organization text        NOT NULL,
            expire_time  timestamptz NOT NULL,
            PRIMARY KEY (sha256, organization)
        );

        -- No cascade: the database itself refuses to forget a blob that somebody holds.
        CREATE TABLE hold (
            sha256 bytea NOT NULL REFERENCES blob,
            holder text  NOT NULL,
            PRIMARY KEY (sha256, holder)
        );
        CREATE INDEX hold_holder ON hold (holder);
    """)
