"""The settings of a deployment, read from the environment as HINDSIGHT_*."""

from app.settings.deployment import CHECKOUT, MiB, Settings, settings
from app.settings.task import TaskSettings

__all__ = ["CHECKOUT", "MiB", "Settings", "TaskSettings", "settings"]
