"""The laptop stack: a real broker and every process of the Procfile, under one supervisor."""
