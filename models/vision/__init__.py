"""Reading image files: what the tasks that look at pictures share."""
