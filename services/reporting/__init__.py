"""Reporting: read models fed by routing's events. Never a source of truth: it can be rebuilt from nothing."""
