"""The registry: the versions of models, their routes, and changes of both."""
