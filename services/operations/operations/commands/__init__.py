"""What operators type: commands that `darkroom` finds by their entry points. They talk to Postgres directly."""
