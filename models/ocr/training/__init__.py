"""Training the `ocr` recogniser by feedback. Needs JAX and ONNX: serving imports nothing of this."""
