"""The template of `hindsight new-task`, and the scaffold that copies it."""
