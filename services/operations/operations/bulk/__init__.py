"""Bulk replays: planned letter by letter, started with their count, run at a pace or in the stages of a ramp."""
