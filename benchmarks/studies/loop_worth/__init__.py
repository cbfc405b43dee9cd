"""What the loop is worth on a drifting stream: `python -m benchmarks.studies.loop_worth TASK`."""
