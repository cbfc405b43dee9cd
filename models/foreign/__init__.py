"""Tasks of models that somebody else exported: `hindsight new-task --from` writes tasks that derive from these."""
