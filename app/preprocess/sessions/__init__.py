"""Live sessions: chunks of a stream that become one request."""
