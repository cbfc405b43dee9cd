"""Replay jobs requested over HTTP: each runs in its own process; datasets are kept for some days, within a size
limit.
"""
