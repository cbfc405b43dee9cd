"""Preprocessing in worker processes, so that a failure of a task's code affects one payload only."""
