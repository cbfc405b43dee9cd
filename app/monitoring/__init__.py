"""Monitoring of the platform: metrics, progress of consumer groups, drift, quality of predictions."""
