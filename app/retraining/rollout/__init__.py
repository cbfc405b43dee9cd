"""Rollouts: shadow, canary and promotion of a candidate."""
