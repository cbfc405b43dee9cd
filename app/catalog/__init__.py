"""The read models: the log as queryable tables."""
