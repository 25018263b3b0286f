"""What operators type: commands that `darkroom` finds by their entry points. None imports torch."""
