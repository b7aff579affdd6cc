"""The directory, and the registers with their append-only records."""

from alembic import op
from lienthong.idempotency import REQUEST_DDL

revision = "0001_registry"
down_revision = None

DIRECTORY = """
CREATE TABLE directory (
    singleton   boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    change_time timestamptz
);
INSERT INTO directory DEFAULT VALUES;

CREATE TABLE node (
    node   text COLLATE "C" PRIMARY KEY,
    parent text COLLATE "C" NOT NULL,
    name   text             NOT NULL,
    tier   smallint         NOT NULL
);

CREATE TABLE organization (
    code       text COLLATE "C" PRIMARY KEY CHECK (length(code) <= 35),
    name       text             NOT NULL,
    superior   text COLLATE "C" NOT NULL,
    tier       smallint         NOT NULL,
    node       text COLLATE "C" NOT NULL,
    valid_from date             NOT NULL,
    valid_to   date CHECK (valid_to > valid_from)
);

-- Other codes, valid as long as their organization. Overlaps are refused by the import, which runs alone;
-- the index below guards the case that matters most even against a hand at the database.
CREATE TABLE organization_alias (
    scheme   smallint         NOT NULL,
    value    text COLLATE "C" NOT NULL,
    code     text COLLATE "C" NOT NULL REFERENCES organization (code),
    valid_to date,
    PRIMARY KEY (scheme, value, code)
);
CREATE UNIQUE INDEX organization_alias_open ON organization_alias (scheme, value) WHERE valid_to IS NULL;
CREATE INDEX organization_alias_code ON organization_alias (code);
"""

REGISTERS = """
CREATE TABLE book (
    book_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization text COLLATE "C" NOT NULL,
    direction    smallint         NOT NULL,
    year         integer          NOT NULL,
    series       text COLLATE "C" NOT NULL,
    external     boolean          NOT NULL,
    highest      integer          NOT NULL DEFAULT 0,
    last_seq     bigint           NOT NULL DEFAULT 0,
    head         bytea            NOT NULL,
    UNIQUE (organization, direction, year, series, external)
);

CREATE TABLE entry (
    entry_id     uuid        PRIMARY KEY,
    book_id      bigint      NOT NULL REFERENCES book (book_id),
    organization text COLLATE "C" NOT NULL,
    external     boolean     NOT NULL,
    number       integer     NOT NULL CHECK (number > 0),
    state        smallint    NOT NULL,
    entry_date   date        NOT NULL,
    notation     text COLLATE "C" NOT NULL,
    description  jsonb       NOT NULL,
    void_reason  text        NOT NULL,
    envelope_id  uuid,
    last_seq     bigint      NOT NULL,
    change_time  timestamptz NOT NULL
);
CREATE UNIQUE INDEX entry_number ON entry (book_id, number) WHERE NOT external;
CREATE UNIQUE INDEX entry_external_number ON entry (book_id, number, notation) WHERE external;
CREATE INDEX entry_page ON entry (book_id, number, entry_id);
CREATE UNIQUE INDEX entry_envelope ON entry (organization, envelope_id) WHERE envelope_id IS NOT NULL;

CREATE TABLE record (
    book_id      bigint      NOT NULL REFERENCES book (book_id),
    seq          bigint      NOT NULL,
    kind         text        NOT NULL,
    entry_id     uuid        NOT NULL,
    request_id   uuid        NOT NULL,
    request_hash bytea       NOT NULL,
    canonical    bytea       NOT NULL,
    hash         bytea       NOT NULL,
    create_time  timestamptz NOT NULL,
    PRIMARY KEY (book_id, seq)
);
CREATE UNIQUE INDEX record_request ON record (request_id);

-- A register is written once (decree 30/2020, articles 15 and 22). The triggers stop mistakes and habits;
-- who owns the database can switch them off, and then the chain of hashes shows it (CheckRegister).
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'registers are append-only: % on % refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER record_append_only BEFORE UPDATE OR DELETE ON record
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER record_no_truncate BEFORE TRUNCATE ON record
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
-- Number, date and place of an entry are frozen from its reservation on.
CREATE TRIGGER entry_frozen BEFORE UPDATE ON entry
    FOR EACH ROW WHEN (
        (OLD.entry_id, OLD.book_id, OLD.number, OLD.entry_date, OLD.notation)
        IS DISTINCT FROM (NEW.entry_id, NEW.book_id, NEW.number, NEW.entry_date, NEW.notation)
    ) EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute(DIRECTORY + REGISTERS + REQUEST_DDL)
