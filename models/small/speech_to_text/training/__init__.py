"""Training the `speech_to_text` network. Needs JAX: serving imports nothing of this."""
