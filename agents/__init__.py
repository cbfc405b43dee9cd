"""The Faust agents: each binds a topic to a pure handler, and registers it with an app."""
