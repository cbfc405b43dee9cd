"""The event log: its archive in Delta tables, the tail in Kafka, maintenance and retention."""
