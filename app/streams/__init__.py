"""Stream processing with Faust: applications, batches, and at-least-once delivery."""
