"""Converting published weights to ONNX: the same bytes each time. Needs `onnx`; serving does not."""
