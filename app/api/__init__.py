"""The HTTP side: feedback, blobs and health."""
