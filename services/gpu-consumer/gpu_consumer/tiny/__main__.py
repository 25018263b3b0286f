"""`python -m gpu_consumer.tiny FOLDER` makes the tiny model, once."""

import argparse
import os
import sys
from pathlib import Path

from gpu_consumer.startup import StartupError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gpu_consumer.tiny", description="Make the tiny model.")
    parser.add_argument("folder", type=Path, help="where the model goes; left alone when it is there already")
    folder = parser.parse_args().folder.absolute()
    # Read at import: transformers would report the absence of torchvision, which nothing here needs.
    os.environ.update(TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")
    from gpu_consumer.tiny.install import FolderTakenError, install

    try:
        made = install(folder)
    except (FolderTakenError, StartupError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command speaks by printing
        return 1
    print(f"{'Made' if made else 'Found'} the tiny model in {folder}.")  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main())
