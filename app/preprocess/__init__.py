"""Preprocessing on Flink, live and in batch."""
