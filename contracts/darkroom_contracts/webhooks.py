"""Webhook event types. Delivery rows are written from the first day by `finish_job` and by a claim."""

from darkroom_contracts.states import TERMINAL

STARTED = "job.started"
TERMINAL_EVENTS = tuple(sorted(f"job.{status}" for status in TERMINAL))
EVENTS = (STARTED, *TERMINAL_EVENTS)
