"""Inference: MLServer with our ONNX Runtime runtime, its client, micro-batches and routing."""
