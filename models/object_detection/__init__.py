"""From a picture to the objects in it."""
