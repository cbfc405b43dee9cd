"""Demonstrations: samples through the platform, and the learning loop as a story."""
