"""Statistical methods without any knowledge of the platform."""
