"""`python -m operations` runs the service, `python -m operations migrate` brings the database up to date."""

import sys

from chassis import logs
from chassis.service import refusing_bad_settings, run
from chassis.settings import load
from operations.app import run_operations
from operations.settings import Settings


def main() -> None:
    if sys.argv[1:2] == ["migrate"]:
        # Imported here, since the service needs nothing of the command line.
        from operations.commands.migrate import migrate

        migrate(sys.argv[2:], prog_name="python -m operations migrate")
    with refusing_bad_settings():
        settings = load(Settings)
        settings.retention.check()
    logs.configure("operations", settings.log)
    run(run_operations(settings))


if __name__ == "__main__":
    main()
