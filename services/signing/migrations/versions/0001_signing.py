"""The audit log of document signatures, and the blocks of timestamp serials."""

from __future__ import annotations

from alembic import op

revision = "0001_signing"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE signature (
            signature_id    uuid        PRIMARY KEY,
            sign_time       timestamptz NOT NULL,
            caller          text        NOT NULL,
            purpose         text        NOT NULL CHECK (purpose IN ('PERSONAL', 'SEAL', 'ANNEX')),
            organization    text        NOT NULL,
            clerk           text        NOT NULL CHECK (clerk <> '' OR purpose = 'PERSONAL'),
            document_id     text        NOT NULL,
            sha256_in       bytea       NOT NULL CHECK (octet_length(sha256_in) = 32),
            sha256_out      bytea       NOT NULL CHECK (octet_length(sha256_out) = 32),
            key_fingerprint bytea       NOT NULL CHECK (octet_length(key_fingerprint) = 32)
        );
        CREATE INDEX signature_document ON signature (document_id) WHERE document_id <> '';
        CREATE INDEX signature_organization ON signature (organization, sign_time);

        -- What was signed stays written down: rows are added, never changed.
        CREATE FUNCTION signature_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the audit log of signatures is append-only';
        END $$;
        CREATE TRIGGER signature_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON signature
            FOR EACH STATEMENT EXECUTE FUNCTION signature_is_append_only();

        -- Numbers blocks of serials, not serials: a token costs no commit (see serials.py).
        CREATE SEQUENCE timestamp_serial AS bigint NO CYCLE;
    """)
