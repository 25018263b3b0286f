"""Sweeps: transitions that time alone causes. Several processes may sweep at once."""
