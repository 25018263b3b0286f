"""`python -m operations` runs the service, `python -m operations migrate` brings the database up to date."""

import sys


def main() -> None:
    if sys.argv[1:2] == ["migrate"]:
        # Imported here, since the service needs nothing of the command line.
        from operations.commands.migrate import migrate

        migrate(sys.argv[2:], prog_name="python -m operations migrate")


if __name__ == "__main__":
    main()
