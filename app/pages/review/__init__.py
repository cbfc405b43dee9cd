"""The review pages: queues, items and their editors."""
