"""History that users have, into the event log: readers of what lies where, and the writer of events."""
