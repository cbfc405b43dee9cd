"""Reading image files, shared by the tasks whose payloads are pictures."""
