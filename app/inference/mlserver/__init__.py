"""Everything that knows MLServer: its process, repository, runtime, client and authentication."""
