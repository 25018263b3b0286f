"""`python -m operations.migrations`: bring the database to this version's schema, as `darkroom migrate` does."""

from operations.commands.migrate import migrate

migrate(prog_name="python -m operations.migrations")
