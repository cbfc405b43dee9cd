"""Blob storage: S3 and local directories behind one interface, and Delta's access to them."""
