"""Sending one request to a receiver that may misbehave. Nothing here reads or writes the database."""
