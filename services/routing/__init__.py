"""Routing: submissions, envelopes, transfers, links, deliveries, receipts, inboxes. It never opens files."""
