"""Inference: MLServer with our ONNX Runtime runtime, its client, micro-batches and routing."""

import warnings

# MLServer 1.7 uses the old name of one of Starlette's status codes; only its maintainers can change that.
warnings.filterwarnings("ignore", "'HTTP_422_UNPROCESSABLE_ENTITY' is deprecated")
