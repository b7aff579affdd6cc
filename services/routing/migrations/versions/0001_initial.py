"""Submissions, envelopes, transfers, deliveries, receipts; queue, events and requests of the libraries."""

from __future__ import annotations

from alembic import op
from lienthong.backoff import DESTINATION_DDL
from lienthong.events import CURSOR_COLUMNS, EVENT_DDL
from lienthong.idempotency import REQUEST_DDL
from lienthong.queue import QUEUE_DDL

revision = "routing_0001"
down_revision = None
branch_labels = None
depends_on = None

SUBMISSION_DDL = """
CREATE TABLE submission (
    submission_id  uuid        PRIMARY KEY,
    organization   text        NOT NULL,
    caller         text        NOT NULL,
    document_id    uuid        NOT NULL,
    document       bytea       NOT NULL,
    recipients     text[]      NOT NULL,
    is_external    boolean     NOT NULL,
    series         text        NOT NULL,
    notation       text        NOT NULL,
    number         integer     NOT NULL DEFAULT 0,
    issued_date    text        NOT NULL DEFAULT '',
    state          smallint    NOT NULL,
    reason         text        NOT NULL DEFAULT '',
    envelope_id    uuid,
    expire_time    timestamptz NOT NULL,
    traceparent    text        NOT NULL,
    create_time    timestamptz NOT NULL DEFAULT now(),
    issue_time     timestamptz
);
-- A document that was given up may be submitted again; 6 is ABANDONED.
CREATE UNIQUE INDEX submission_document ON submission (organization, document_id) WHERE state <> 6;
CREATE INDEX submission_by_document ON submission (organization, document_id, submission_id DESC);
CREATE INDEX submission_newest ON submission (organization, submission_id DESC);
"""

ENVELOPE_DDL = """
CREATE TABLE envelope (
    envelope_id uuid        PRIMARY KEY,
    sender      text        NOT NULL,
    document_id uuid,
    urgency     smallint    NOT NULL,
    expire_time timestamptz NOT NULL,
    signed      bytea       NOT NULL,
    is_held     boolean     NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE envelope ALTER signed SET STORAGE EXTERNAL;
CREATE TABLE envelope_blob (
    envelope_id uuid  NOT NULL REFERENCES envelope ON DELETE CASCADE,
    sha256      bytea NOT NULL,
    content     bytea NOT NULL,
    PRIMARY KEY (envelope_id, sha256)
);
ALTER TABLE envelope_blob ALTER content SET STORAGE EXTERNAL;
CREATE TABLE transfer (
    transfer_id uuid        PRIMARY KEY,
    envelope_id uuid        NOT NULL REFERENCES envelope,
    from_node   text        NOT NULL,
    next_hop    text        NOT NULL,
    recipients  text[]      NOT NULL,
    hops        bytea[]     NOT NULL,
    traceparent text        NOT NULL,
    state       smallint    NOT NULL,
    reason      text        NOT NULL DEFAULT '',
    attempts    integer     NOT NULL DEFAULT 0,
    offer_time  timestamptz,
    create_time timestamptz NOT NULL DEFAULT now(),
    change_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX transfer_envelope ON transfer (envelope_id);
CREATE INDEX transfer_newest ON transfer (next_hop, transfer_id DESC);
CREATE TABLE inbound (
    from_node    text        NOT NULL,
    transfer_id  uuid        NOT NULL,
    outcome      smallint    NOT NULL,
    reason       text        NOT NULL DEFAULT '',
    receive_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (from_node, transfer_id)
);
"""

DELIVERY_DDL = f"""
CREATE TABLE delivery (
    delivery_id    uuid        PRIMARY KEY,
    {CURSOR_COLUMNS},
    envelope_id    uuid        NOT NULL REFERENCES envelope,
    recipient      text        NOT NULL,
    sender         text        NOT NULL,
    document       bytea       NOT NULL,
    verdicts       bytea[]     NOT NULL,
    status         text        NOT NULL,
    sequence       integer     NOT NULL,
    arrival_number integer     NOT NULL DEFAULT 0,
    traceparent    text        NOT NULL,
    arrive_time    timestamptz NOT NULL,
    fetch_time     timestamptz,
    UNIQUE (envelope_id, recipient)
);
CREATE INDEX delivery_inbox ON delivery (recipient, xid, seq);
CREATE TABLE handling (
    handling_id uuid        PRIMARY KEY,
    delivery_id uuid        NOT NULL REFERENCES delivery,
    status      text        NOT NULL,
    sequence    integer     NOT NULL,
    previous    text        NOT NULL,
    actor       text        NOT NULL,
    reason      text        NOT NULL,
    own_number  integer     NOT NULL,
    act_time    timestamptz NOT NULL,
    traceparent text        NOT NULL,
    receipt     bytea,
    failure     text        NOT NULL DEFAULT '',
    UNIQUE (delivery_id, sequence)
);
"""

RECEIPT_DDL = f"""
CREATE TABLE recipient (
    envelope_id    uuid        NOT NULL,
    organization   text        NOT NULL,
    outcome        smallint    NOT NULL DEFAULT 0,
    status         text        NOT NULL DEFAULT '',
    sequence       integer     NOT NULL DEFAULT 0,
    reason         text        NOT NULL DEFAULT '',
    arrival_number integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (envelope_id, organization)
);
CREATE TABLE receipt (
    receipt_id   uuid        PRIMARY KEY,
    {CURSOR_COLUMNS},
    organization text        NOT NULL,
    envelope_id  uuid        NOT NULL,
    payload      bytea       NOT NULL,
    proof_id     uuid        NOT NULL REFERENCES envelope (envelope_id),
    receive_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX receipt_list ON receipt (organization, xid, seq);
"""


def upgrade() -> None:
    for ddl in (
        REQUEST_DDL,
        QUEUE_DDL,
        EVENT_DDL,
        DESTINATION_DDL,
        SUBMISSION_DDL,
        ENVELOPE_DDL,
        DELIVERY_DDL,
        RECEIPT_DDL,
    ):
        op.execute(ddl)
