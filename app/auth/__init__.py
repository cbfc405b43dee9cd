"""Who may do what: API keys with scopes, and the sessions of browsers that have logged in by one."""
