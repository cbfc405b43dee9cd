"""Training the detector. Needs JAX: serving imports nothing of this."""
