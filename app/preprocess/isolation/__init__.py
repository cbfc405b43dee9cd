"""Preprocessing in worker processes: what a task's code does to its process, it does to one payload."""
