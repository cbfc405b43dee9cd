"""Outcomes: predictions joined with their feedback, and labels aggregated from it."""
