"""Journeys, receipts, daily counts, and how far routing's events were read."""

from __future__ import annotations

from alembic import op

revision = "0001_journeys"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE reader (
            stream text PRIMARY KEY,
            cursor text NOT NULL
        );

        CREATE TABLE journey (
            document_id  text        PRIMARY KEY,
            envelope_id  text        NOT NULL,
            organization text        NOT NULL,
            number       integer     NOT NULL,
            notation     text        NOT NULL,
            year         integer     NOT NULL,
            document     bytea       NOT NULL,
            recipients   text[]      NOT NULL,
            submit_time  timestamptz NOT NULL,
            issue_time   timestamptz NOT NULL,
            trace_id     text        NOT NULL,
            day          date        NOT NULL
        );
        CREATE INDEX journey_code ON journey (organization, number, notation, year);

        -- No reference to journey: a receipt may be read before the issue that it is about.
        CREATE TABLE receipt (
            receipt_id   text        PRIMARY KEY,
            document_id  text        NOT NULL,
            sender       text        NOT NULL,
            recipient    text        NOT NULL,
            sequence     integer     NOT NULL,
            status       text        NOT NULL,
            outcome      smallint    NOT NULL,
            receive_time timestamptz NOT NULL,
            day          date        NOT NULL,
            message      bytea       NOT NULL
        );
        CREATE INDEX receipt_document ON receipt (document_id);

        CREATE TABLE arrival (
            delivery_id  text PRIMARY KEY,
            organization text NOT NULL,
            day          date NOT NULL
        );

        CREATE TABLE handling (
            receipt_id   text PRIMARY KEY,
            organization text NOT NULL,
            status       text NOT NULL,
            day          date NOT NULL
        );

        CREATE TABLE daily_count (
            organization text   NOT NULL,
            day          date   NOT NULL,
            sent         bigint NOT NULL DEFAULT 0,
            addressed    bigint NOT NULL DEFAULT 0,
            delivered    bigint NOT NULL DEFAULT 0,
            received     bigint NOT NULL DEFAULT 0,
            accepted     bigint NOT NULL DEFAULT 0,
            refused      bigint NOT NULL DEFAULT 0,
            completed    bigint NOT NULL DEFAULT 0,
            PRIMARY KEY (organization, day)
        );
        CREATE INDEX daily_count_day ON daily_count (day);
    """)
