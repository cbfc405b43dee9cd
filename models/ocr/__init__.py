"""From a picture of writing to its text."""
