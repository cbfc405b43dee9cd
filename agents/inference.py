"""The inference agents: `<task>.features` in, `<task>.predictions` out, inside the delivery guard."""

from functools import partial

from app.events import topics
from app.inference.handler import STAGE, InferenceHandler
from app.inference.mlserver.client import InferenceClient
from app.inference.routing import Routing
from app.inference.shadows import Shadows
from app.settings import Settings
from app.streams.batching import Bounds
from app.streams.faust_app import App, agent, publisher
from app.streams.tracing import traced
from app.tracing import of
from models.base import Task

BATCH_BYTES = 8 * 2**20
"""Of features in one micro-batch: a network's activations for many long recordings at once would fill the memory."""


def register(app: App, settings: Settings, task: Task, routing: Routing) -> None:
    """One agent for each task, so that a slow model holds up its own events only."""
    route = partial(routing.of, task.name)
    handler = InferenceHandler(settings, task, route, partial(InferenceClient, settings))
    shadows = Shadows(settings, task, route, publisher(app))
    app.task(shadows.run)
    agent(
        app,
        settings,
        name=f"inference-{task.name}",
        topic=topics.features(task.name),
        stage=STAGE,
        handle=traced(of(settings, "worker"), STAGE, handler),
        reject=handler.reject,
        bounds=Bounds(settings.batch_size, settings.batch_seconds, BATCH_BYTES),
        delivered=lambda batch, _: shadows.heard(batch),
    )
