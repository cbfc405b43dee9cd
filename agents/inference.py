"""The inference agents: `<task>.features` in, `<task>.predictions` out, with guarded delivery."""

from collections.abc import Iterable, Mapping
from functools import partial

from app.events import topics
from app.inference.handler import STAGE, InferenceHandler
from app.inference.memory import CorrectionMemory
from app.inference.mlserver.client import InferenceClient
from app.inference.predictor import MAX_CALL_BYTES
from app.inference.routing import Router
from app.inference.shadows import ShadowPredictor
from app.settings import Settings
from app.streams.batching import BatchLimits
from app.streams.faust_app import App, create_publisher, register_agent
from app.streams.tracing import trace_handler
from app.tracing import get_tracing
from models.base import Task


def create_memories(settings: Settings, tasks: Iterable[Task], router: Router) -> Mapping[str, CorrectionMemory]:
    """Return the empty memory of corrections of each task that has one."""
    rules = {task: settings.for_task(task.name) for task in tasks}
    return {
        task.name: CorrectionMemory(task, rules[task], partial(router.learned_until, task.name))
        for task in rules
        if rules[task].correction_memory is not None
    }


def register(app: App, settings: Settings, task: Task, router: Router, memory: CorrectionMemory | None = None) -> None:
    """Register the agent of a task. Each task has its own, so that a slow model delays only its own events."""
    route = partial(router.route, task.name)
    handler = InferenceHandler(settings, task, route, partial(InferenceClient, settings), memory)
    shadows = ShadowPredictor(settings, task, route, create_publisher(app))
    app.task(shadows.run)
    register_agent(
        app,
        settings,
        name=f"inference-{task.name}",
        topic=topics.features(task.name),
        stage=STAGE,
        handle=trace_handler(get_tracing(settings, "worker"), STAGE, handler),
        reject=handler.reject,
        limits=BatchLimits(settings.batch_size, settings.batch_seconds, MAX_CALL_BYTES),
        on_delivered=lambda batch, _: shadows.submit(batch),
    )
