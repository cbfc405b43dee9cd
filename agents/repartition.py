"""The repartitioning agents: `<task>.predictions` and `<task>.feedback` in, `<task>.joins` out."""

from app.events import topics
from app.outcomes.repartition import FEEDBACK_STAGE, PREDICTIONS_STAGE, Repartitioner
from app.settings import Settings
from app.streams.batching import BatchLimits
from app.streams.faust_app import App, register_agent
from models.base import Task

BATCH_LIMITS = BatchLimits(500, 0.01)


def register(app: App, settings: Settings, task: Task) -> None:
    """Register the two agents of a task."""
    repartitioner = Repartitioner(task)
    register_agent(
        app,
        settings,
        name=f"joins-predictions-{task.name}",
        topic=topics.predictions(task.name),
        stage=PREDICTIONS_STAGE,
        handle=repartitioner.repartition_predictions,
        reject=repartitioner.reject,
        limits=BATCH_LIMITS,
    )
    register_agent(
        app,
        settings,
        name=f"joins-feedback-{task.name}",
        topic=topics.feedback(task.name),
        stage=FEEDBACK_STAGE,
        handle=repartitioner.repartition_feedback,
        reject=repartitioner.reject,
        limits=BATCH_LIMITS,
    )
