"""Runs a whole Darkroom on one machine without Docker: its parts and services as processes under supervisord."""
