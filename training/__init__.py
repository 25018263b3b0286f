"""How Darkroom's own models are made. Nothing that serves imports from here."""
