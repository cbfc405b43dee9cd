"""Lines of text that are made for training and tests, and the files that ship."""
