"""The training set: every training scene drawn several times, cached in a file."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.shapes.drawing import SIZE, draw
from training.shapes.scenes import Scene, split

VARIANTS = 16
"""Number of pictures per scene, each with its own jitter."""


def pictures(folder: Path) -> npt.NDArray[np.uint8]:
    """Return all training pictures, shape (scenes x VARIANTS, SIZE, SIZE, 3), grouped by scene."""
    file = folder / "pictures.npy"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(file, _draw_all())
    return np.load(file, mmap_mode="r")  # type: ignore[no-any-return]


def scene_of(index: int) -> Scene:
    """Return the scene of the picture with this index."""
    return _TRAINING[index // VARIANTS]


def _draw_all() -> npt.NDArray[np.uint8]:
    with ProcessPoolExecutor() as pool:
        drawn = pool.map(_draw_scene, range(len(_TRAINING)), chunksize=20)
        return np.concatenate(list(drawn)).reshape(-1, SIZE, SIZE, 3)


def _draw_scene(number: int) -> npt.NDArray[np.uint8]:
    first = number * VARIANTS
    return np.stack([draw(_TRAINING[number], seed) for seed in range(first, first + VARIANTS)])


_TRAINING = split()[0]
