"""Replay jobs requested over HTTP: each runs in its own process; datasets are kept for a limited time and size."""
