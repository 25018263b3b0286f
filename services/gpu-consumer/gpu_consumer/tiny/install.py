"""Puts the tiny model into its folder: once, whole or not at all."""

import tempfile
from pathlib import Path

from gpu_consumer.models import model_folder

RECIPE = "1"
"""Rises with every change to what is built, so that an older folder is replaced."""
RECIPE_FILE = "RECIPE"


class FolderTakenError(Exception):
    """The folder is there and holds something else than a tiny model."""


def install(folder: Path) -> bool:
    """Make sure that `folder` holds this version's tiny model; True when it had to be made.

    Raises FolderTakenError rather than overwrite what it did not make, and ModelMissingError or ModelRefusedError
    when a model of this recipe is there but damaged.
    """
    if _recipe(folder) == RECIPE:
        model_folder.inspect(folder, prefer_half=False)
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        _write(Path(scratch) / "new")
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        (Path(scratch) / "new").rename(folder)
    return True


def _recipe(folder: Path) -> str | None:
    """The recipe `folder` was made by, or None when it is not there or empty."""
    if not folder.exists() or not any(folder.iterdir()):
        return None
    if not (folder / RECIPE_FILE).is_file():
        raise FolderTakenError(f"The folder {folder} holds something else than a tiny model.")
    return (folder / RECIPE_FILE).read_text().strip()


def _write(folder: Path) -> None:
    from gpu_consumer.tiny.build import build

    build().save_pretrained(folder, safe_serialization=True)
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes 0600, and the worker may run as another user
    (folder / RECIPE_FILE).write_text(f"{RECIPE}\n")
    model_folder.write_sums(folder)
