"""Requests and their rewards: a simulator, and a public data set."""
