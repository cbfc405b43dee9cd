"""Outcomes: predictions joined with their feedback, and the labels aggregated from it."""
