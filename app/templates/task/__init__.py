"""Tells questions from statements: a whole task, as small as it can be."""

from .task import NewTask

__all__ = ["NewTask"]
