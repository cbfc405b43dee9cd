"""Small networks that are trained from nothing, on made data, in minutes: examples of a trainer, and fast in tests."""
