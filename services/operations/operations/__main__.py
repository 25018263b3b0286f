"""`python -m operations` runs the service, `python -m operations migrate` brings the database up to date."""

import sys

from chassis import logs
from chassis.service import exit_for_settings, run
from chassis.settings import SettingsError, load
from operations.app import run_operations
from operations.settings import Settings


def main() -> None:
    if sys.argv[1:2] == ["migrate"]:
        # Imported here, since the service needs nothing of the command line.
        from operations.commands.migrate import migrate

        migrate(sys.argv[2:], prog_name="python -m operations migrate")
    try:
        settings = load(Settings)
    except SettingsError as error:
        exit_for_settings(error)
    logs.configure("operations", settings.log)
    run(run_operations(settings))


if __name__ == "__main__":
    main()
