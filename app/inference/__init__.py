"""Inference: MLServer with our ONNX Runtime runtime, its client, micro-batches and routing."""

import warnings

# MLServer 1.7 names a status of Starlette's by its old name. It is its maintainers' to change.
warnings.filterwarnings("ignore", "'HTTP_422_UNPROCESSABLE_ENTITY' is deprecated")
