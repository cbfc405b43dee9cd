"""The stream processors: Faust applications, batching and the delivery guard."""
