"""A model folder's manifest, `SHA256SUMS`, in the form of sha256sum(1)."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpu_consumer.startup import ModelDamagedError, ModelIncompleteError

SUMS = "SHA256SUMS"
READERS = 4
"""Files hashed at a time; hashing keeps no other Python from running."""

Digests = dict[str, str]
"""File relative to the folder -> sha256, hexadecimal, sorted by file."""


def digests_of(path: Path, files: Iterable[str]) -> Digests:
    """Read these files of the folder whole. Raises OSError."""
    wanted = sorted(files)
    with ThreadPoolExecutor(READERS) as readers:
        return dict(zip(wanted, readers.map(lambda file: digest(path / file), wanted), strict=True))


def digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def text_of(digests: Digests) -> str:
    """The manifest that tells of these files."""
    return "".join(f"{digest}  {file}\n" for file, digest in digests.items())


def check_pin(path: Path, pinned: str | None) -> str | None:
    """The digest of the folder's manifest, None without one. Raises unless it is the pinned one."""
    sums = path / SUMS
    if not sums.is_file():
        if pinned is not None:
            raise ModelIncompleteError(f"The model folder {path} holds no {SUMS}, though the catalogue pins one.")
        return None
    found = digest(sums)
    if pinned not in (None, found):
        raise ModelDamagedError(
            f"The manifest {sums} is another than the catalogue pins: its sha256 is {found}, not {pinned}."
        )
    return found


def check_sums(path: Path, digests: Digests) -> None:
    """Every file must be vouched for by the manifest, where there is one. Raises ModelDamagedError."""
    sums = path / SUMS
    if not sums.is_file():
        return
    lines = sums.read_bytes().decode(errors="replace").splitlines()
    expected = {name.lstrip(" *"): found for found, _, name in (line.partition(" ") for line in lines)}
    for file, found in digests.items():
        if expected.get(file) != found:
            raise ModelDamagedError(f"The file {path / file} is damaged: its digest is not the one in {SUMS}.")
