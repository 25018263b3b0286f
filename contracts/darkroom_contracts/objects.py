"""Keys of objects in the bucket, and the record of each stored picture."""

from uuid import UUID

import msgspec

EXTENSIONS = {"png": "png", "jpeg": "jpg", "webp": "webp"}
CONTENT_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


class StoredOutput(msgspec.Struct, frozen=True):
    """A stored picture, as the column `jobs.outputs` lists it."""

    index: int
    key: str
    content_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    seed: int


def output_key(job_id: UUID, index: int, sha256: str, output_format: str) -> str:
    """Return the key of a job's picture. Equal bytes share a key; different bytes never overwrite each other.

    `sha256` is the hexadecimal digest of the stored bytes.
    """
    return f"{job_prefix(job_id)}{index}-{sha256}.{EXTENSIONS[output_format]}"


def job_prefix(job_id: UUID) -> str:
    """Return the prefix of the keys of a job's objects, which no other job's keys have."""
    return f"jobs/{job_id}/"
