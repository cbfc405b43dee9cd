"""Statistical methods, independent of the platform."""
