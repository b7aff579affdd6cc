"""Routing: submissions, envelopes, transfers, links, deliveries, receipts, inboxes. Never looks into files."""
