"""Dead letters: records that could not be processed, with the reason; queried, shown and redelivered."""
