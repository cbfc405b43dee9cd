"""The registry: which versions of models there are, which of them serve, and how that changes."""
