"""The Faust tables: caches that can be rebuilt from the log, never the truth."""
