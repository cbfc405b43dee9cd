"""The repartitioning agents: `<task>.predictions` and `<task>.feedback` in, `<task>.joins` out."""

from app.events import topics
from app.outcomes.repartition import FEEDBACK, PREDICTIONS, Joins
from app.settings import Settings
from app.streams.batching import Bounds
from app.streams.faust_app import App, agent
from models.base import Task

BOUNDS = Bounds(500, 0.01)


def register(app: App, settings: Settings, task: Task) -> None:
    """Two agents for each task."""
    joins = Joins(task)
    agent(
        app,
        settings,
        name=f"joins-predictions-{task.name}",
        topic=topics.predictions(task.name),
        stage=PREDICTIONS,
        handle=joins.predictions,
        reject=joins.reject,
        bounds=BOUNDS,
    )
    agent(
        app,
        settings,
        name=f"joins-feedback-{task.name}",
        topic=topics.feedback(task.name),
        stage=FEEDBACK,
        handle=joins.feedback,
        reject=joins.reject,
        bounds=BOUNDS,
    )
