"""The read models: what the log says, in tables."""
