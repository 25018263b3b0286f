"""`python -m bench.gpu.models NAME FOLDER DEVICE`: write a model with random weights.

It runs in a process of its own, so that its GPU memory is free before anything is measured.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from gpu_consumer.render import device
from gpu_consumer.startup import StartupError
from gpu_consumer.tiny import install
from tests.support import full_size, model_folders

FULL_SIZE: dict[str, Callable[[Path, str], None]] = {"sd15": full_size.write_sd15, "sdxl": full_size.write_sdxl}
TINY: dict[str, Callable[[Path], object]] = {"tiny": install.install, "tiny-sdxl": model_folders.write_sdxl}


def main(name: str, folder: str, wanted: str) -> None:
    """Write the model. Exits with a one-line reason when the device is missing."""
    try:
        device.confirm("cuda" if wanted == "cuda" else "cpu")
    except StartupError as refusal:
        raise SystemExit(refusal.message) from None
    if name in TINY:
        TINY[name](Path(folder))
    else:
        FULL_SIZE[name](Path(folder), wanted)


if __name__ == "__main__":
    main(*sys.argv[1:])
