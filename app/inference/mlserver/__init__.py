"""All code that depends on MLServer: its process, repository, runtime, client and authentication."""
