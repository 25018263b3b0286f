"""Replays: a dead letter's job is queued again, in its next generation."""
