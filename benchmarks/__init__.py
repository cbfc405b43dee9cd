"""What it costs, against the limit and against peers."""
