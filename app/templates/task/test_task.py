"""Tests of the task: the laws of all tasks (see `app.testing`), and what this task cannot read."""

from app.testing import TaskTests, TrainingTests

from . import NewTask


class TestNewTask(TaskTests, TrainingTests):
    """Each law is a test."""

    task = NewTask()
    rejected_payloads = ((b"\xff", "not_utf8"), (b"", "blank"), (b" \n", "blank"))
    rejected_corrections = ({}, {"label": "answer"}, {"label": ["question"]}, {"text": "question"})
    min_sample_score = 1.0
