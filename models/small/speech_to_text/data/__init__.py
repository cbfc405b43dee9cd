"""Speech that is made for training and tests, and the recordings that ship."""
