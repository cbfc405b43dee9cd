"""Tools to test a task, or a handler of records: in one process, without Kafka.

pytest and hypothesis are development dependencies (`make setup` installs them; elsewhere `pip install pytest
hypothesis`). Only the property tests of `TaskTests` import hypothesis.
"""

from app.testing.memory_log import Crash, InMemoryLog
from app.testing.pipeline import run_pipeline
from app.testing.task_tests import TaskTests
from app.testing.time_control import ManualClock, fast_retries
from app.testing.training_tests import TrainingTests

__all__ = ["Crash", "InMemoryLog", "ManualClock", "TaskTests", "TrainingTests", "fast_retries", "run_pipeline"]
