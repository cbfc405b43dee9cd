"""Replay: point-in-time datasets from the event log."""
