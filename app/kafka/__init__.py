"""Every Kafka client of the platform: how it connects, what it reads, and how far a group has read."""
