"""Scenes that are made for training, tests and demonstrations."""
