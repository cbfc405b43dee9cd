"""Training the `ocr` network. Needs JAX: serving imports nothing of this."""
