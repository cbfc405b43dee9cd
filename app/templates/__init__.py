"""What `hindsight new-task` copies."""
