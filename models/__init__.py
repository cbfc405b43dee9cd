"""The tasks, a folder each, and the interface that they share."""
