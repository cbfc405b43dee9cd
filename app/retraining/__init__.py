"""What starts a retraining, and who runs it."""
