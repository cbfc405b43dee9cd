"""The pages: what people look at, and put right. NiceGUI on the FastAPI application; no asset comes from a network."""
