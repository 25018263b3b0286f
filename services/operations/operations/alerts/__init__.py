"""Alerts: what operators are told of once when it begins, and once when it is over."""
