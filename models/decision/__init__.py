"""Choosing one of several actions, given a context: a stochastic policy that learns from rewards."""

from models.decision.task import Decision

__all__ = ["Decision"]
