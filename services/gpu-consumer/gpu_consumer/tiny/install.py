"""The tiny model's installation into its folder, made once and put in place atomically."""

from pathlib import Path

from chassis.folders import replaced
from gpu_consumer.models import model_folder

RECIPE = "1"
"""Version of the build. Raise it with every change, so that older folders are replaced."""
RECIPE_FILE = "RECIPE"


class FolderTakenError(Exception):
    """The folder contains something other than a tiny model."""


def install(folder: Path) -> bool:
    """Install this version's tiny model in `folder`, unless it is there; return whether it was built.

    Raises FolderTakenError for a folder with other content, which is never overwritten, and ModelMissingError or
    ModelRefusedError when the folder contains this version, but damaged.
    """
    if _recipe(folder) == RECIPE:
        model_folder.inspect(folder, prefer_half=False)
        return False
    with replaced(folder) as fresh:
        _write(fresh)
    return True


def _recipe(folder: Path) -> str | None:
    """Return the version of the tiny model in `folder`, or None if the folder is missing or empty."""
    if not folder.exists() or not any(folder.iterdir()):
        return None
    if not (folder / RECIPE_FILE).is_file():
        raise FolderTakenError(f"The folder {folder} contains something other than a tiny model; choose another.")
    return (folder / RECIPE_FILE).read_text().strip()


def _write(folder: Path) -> None:
    from gpu_consumer.tiny.build import build

    build().save_pretrained(folder, safe_serialization=True)
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes 0600, and the worker can run as another user
    (folder / RECIPE_FILE).write_text(f"{RECIPE}\n")
    model_folder.write_sums(folder)
