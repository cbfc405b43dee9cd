"""Errors after which a retry may succeed."""

from aiokafka.errors import KafkaError

from app.errors import Unavailable, Unconfirmed

TRANSIENT_ERRORS = (KafkaError, OSError, Unavailable, Unconfirmed)
