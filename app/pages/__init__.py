"""The web pages: overview, review, models, replay and dead letters. NiceGUI on the FastAPI application.

All assets come from this server.
"""

import os

# NiceGUI would import Matplotlib, which no page uses and which delays each start of the API by a second.
os.environ.setdefault("MATPLOTLIB", "false")
