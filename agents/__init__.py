"""The Faust agents, one file each: which topic, which pure function, which topic next."""
