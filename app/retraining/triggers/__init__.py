"""Triggers: when retraining starts."""
