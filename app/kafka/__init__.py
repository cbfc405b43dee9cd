"""Kafka clients of the platform: connections, confirmed publishing, reading of the log, lag of consumer groups."""
