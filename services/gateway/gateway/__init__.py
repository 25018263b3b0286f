"""Intake: validate a job, record it durably, publish it. Never touches a GPU."""
