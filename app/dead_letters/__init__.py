"""Dead letters: rejected records with the reason; queried, described and redelivered."""
