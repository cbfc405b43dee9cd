"""Small updates of foreign models: a frozen ONNX model is cut before its last layer, and only that layer learns."""
