"""Routing: submissions, envelopes, transfers, links, deliveries, receipts, inboxes. Never looks inside files."""
