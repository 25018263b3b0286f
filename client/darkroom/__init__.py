"""Darkroom's Python client. The `darkroom` command line lives in `darkroom.cli`."""
