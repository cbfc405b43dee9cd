"""Authentication and authorization: API keys with scopes, and browser sessions that start from a key."""
