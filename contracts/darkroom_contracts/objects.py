"""Where pictures lie in the bucket, and what the database keeps of each."""

from uuid import UUID

import msgspec

EXTENSIONS = {"png": "png", "jpeg": "jpg", "webp": "webp"}
CONTENT_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


class StoredOutput(msgspec.Struct, frozen=True):
    """One stored picture, as the job's `outputs` column lists it."""

    index: int
    key: str
    content_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    seed: int


def output_key(job_id: UUID, index: int, sha256: str, output_format: str) -> str:
    """The key of a job's picture. The same bytes share a key; different bytes never clobber each other.

    `sha256` is the hexadecimal digest of the stored bytes.
    """
    return f"{job_prefix(job_id)}{index}-{sha256}.{EXTENSIONS[output_format]}"


def job_prefix(job_id: UUID) -> str:
    """Return what the keys of all of a job's objects begin with, and no other's."""
    return f"jobs/{job_id}/"
