"""Training the `object_detection` network by corrections. Needs JAX and ONNX: serving imports nothing of this."""
