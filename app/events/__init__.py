"""The vocabulary of the log: event types, CloudEvents attributes, topics. No client of anything."""
