"""The event log: archived to Delta tables, read with what Kafka still holds, replayed into datasets, and erased."""
