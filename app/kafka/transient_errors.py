"""Errors that pass: it is worth trying again."""

from aiokafka.errors import KafkaError

from app.errors import Unavailable, Unconfirmed

TRANSIENT_ERRORS = (KafkaError, OSError, Unavailable, Unconfirmed)
"""What passes: it is worth trying again."""
