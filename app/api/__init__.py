"""The HTTP API, in FastAPI."""
