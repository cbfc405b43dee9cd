"""Wiring and core: all that is neither an agent, a table nor a model."""
