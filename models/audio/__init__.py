"""Reading recordings: files of any container and codec, whole or in pieces, to samples of one rate."""
