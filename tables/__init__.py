"""The Faust tables: caches that can be rebuilt from the log."""
