"""Measurements of the platform, compared with the limit of the machine and with peers."""
