"""The pages: what people look at, and put right. NiceGUI on the FastAPI application; no asset comes from a network."""

import os

# NiceGUI offers plots by Matplotlib, which no page has: to load it takes a second of each start of the API.
os.environ.setdefault("MATPLOTLIB", "false")
