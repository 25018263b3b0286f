"""Alerts: operators' events that are sent once when a condition begins and once when it is over."""
