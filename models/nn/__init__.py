"""Small pieces that the tasks' networks share: layers in JAX, an ONNX exporter, CTC decoding, calibration."""
