"""The training of Darkroom's own models. The services do not import it."""
