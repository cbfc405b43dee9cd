"""Training `speech_to_text` by feedback. Needs JAX and ONNX: serving imports nothing of this."""
