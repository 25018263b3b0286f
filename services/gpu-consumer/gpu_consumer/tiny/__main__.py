"""`python -m gpu_consumer.tiny FOLDER`: the tiny model's installation."""

import argparse
import os
import sys
from pathlib import Path

from gpu_consumer.startup import StartupError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gpu_consumer.tiny", description="Build the tiny model.")
    parser.add_argument("folder", type=Path, help="the model's folder; unchanged if it contains the model already")
    folder = parser.parse_args().folder.absolute()
    # Read at import. Otherwise transformers warns about the absence of torchvision, which is not needed.
    os.environ.update(TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")
    from gpu_consumer.tiny.install import FolderTakenError, install

    try:
        built = install(folder)
    except (FolderTakenError, StartupError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    print(f"{'Built' if built else 'Found'} the tiny model in {folder}.")  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main())
