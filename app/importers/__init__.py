"""Import of users' history into the event log: readers of several formats, and the writer of events."""
