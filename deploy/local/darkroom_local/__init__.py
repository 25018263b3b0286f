"""A whole Darkroom on one machine without Docker: real parts, every service, under supervision."""
