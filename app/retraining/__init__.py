"""Retraining: triggers, backends, pipeline, rollout, and the controller that drives them."""
