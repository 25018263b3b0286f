"""A model folder's manifest, `SHA256SUMS`, in the format of sha256sum(1)."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpu_consumer.startup import ModelDamagedError, ModelIncompleteError

SUMS = "SHA256SUMS"
READERS = 4
"""Files hashed concurrently; hashing releases the GIL."""

Digests = dict[str, str]
"""Path relative to the folder -> sha256 in hexadecimal, sorted by path."""


def digests_of(path: Path, files: Iterable[str]) -> Digests:
    """Return the digests of these files of the folder. Raises OSError."""
    names = sorted(files)
    with ThreadPoolExecutor(READERS) as readers:
        return dict(zip(names, readers.map(lambda name: digest(path / name), names), strict=True))


def digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def text_of(digests: Digests) -> str:
    """Return the manifest's text."""
    return "".join(f"{digest}  {file}\n" for file, digest in digests.items())


def check_pin(path: Path, pinned: str | None) -> str | None:
    """Return the digest of the folder's manifest, or None without a manifest.

    Raises ModelIncompleteError or ModelDamagedError unless it is the pinned one.
    """
    sums = path / SUMS
    if not sums.is_file():
        if pinned is not None:
            raise ModelIncompleteError(f"The model folder {path} contains no {SUMS}, but the catalogue pins one.")
        return None
    found = digest(sums)
    if pinned not in (None, found):
        raise ModelDamagedError(
            f"The manifest {sums} differs from the one that the catalogue pins: its sha256 is {found}, not {pinned}."
        )
    return found


def check_sums(path: Path, digests: Digests) -> None:
    """Compare the files with the folder's manifest, if it has one. Raises ModelDamagedError."""
    sums = path / SUMS
    if not sums.is_file():
        return
    lines = sums.read_bytes().decode(errors="replace").splitlines()
    expected = {name.lstrip(" *"): found for found, _, name in (line.partition(" ") for line in lines)}
    for file, found in digests.items():
        if expected.get(file) != found:
            raise ModelDamagedError(f"The file {path / file} is damaged: its digest is not the one in {SUMS}.")
