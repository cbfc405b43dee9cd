"""The event vocabulary: event types, CloudEvents attributes, topics. Contains no client of any service."""
