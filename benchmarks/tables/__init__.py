"""The results as tables, one module for each part of the benchmark."""
