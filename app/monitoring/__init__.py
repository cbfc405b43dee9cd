"""What the platform knows of itself: metrics and lag."""
