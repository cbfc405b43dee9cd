"""Triggers: the conditions that start retraining."""
