"""Replays that are asked for over HTTP: each made by a process of its own, kept for some days, bounded in all."""
