"""Retraining: the gate that judges a candidate, and its rollout by live evidence."""
