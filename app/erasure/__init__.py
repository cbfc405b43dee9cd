"""Erasure of a person's data from the log, the catalog, the blobs and the datasets."""
