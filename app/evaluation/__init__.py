"""Evaluation of versions: on held-out data, on past traffic (backtest), and off policy."""
