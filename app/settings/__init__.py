"""The settings of a deployment, read from the environment as HINDSIGHT_*."""

from app.settings.deployment import CHECKOUT, MiB, Settings, settings
from app.settings.rewards import RewardSettings
from app.settings.task import TaskSettings

__all__ = ["CHECKOUT", "MiB", "RewardSettings", "Settings", "TaskSettings", "settings"]
