"""The result of a variant: its figures, or the reason why it was not measured."""

from collections.abc import Mapping

import msgspec

from bench.gpu.subjects import VARIANTS, Variant

GIBIBYTE = 2**30


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a variant."""

    device: str
    versions: dict[str, str]
    """Versions by library."""
    load_seconds: float
    """Includes importing the libraries and reading the folder."""
    warmup_seconds: float
    steps_per_second: float
    """Median of the renders, while denoising."""
    decode_ms: float
    """Median."""
    held_bytes: int
    """Memory that the warm model allocates between jobs."""
    peak_bytes: int
    """Highest memory allocated in a render."""
    device_bytes: int | None
    """Memory in use on the whole GPU after the renders, from its driver. No other figure includes CUDA graphs."""
    idle_share: float
    """Share of the time between the first request and the last response in which no render ran."""
    renders: int
    sha256: str
    """Digest of the job's pixels."""
    repeatable: bool
    """Whether all renders of the job had these pixels."""
    failed_captures: int


class NotMeasured(msgspec.Struct, frozen=True):
    """A variant without figures."""

    reason: str
    failed: bool
    """Whether this is an error of the run."""


Result = Measured | NotMeasured
Results = Mapping[str, Result]
"""Results of one model by variant."""


def defects(results: Results) -> list[str]:
    """Return one line for each defect of a run."""
    return [line for variant in VARIANTS for line in _defects_of(variant, results)]


def ratio(results: Results, name: str, base: str) -> float | None:
    """Return the steps per second of a variant over those of another, or None unless both were measured."""
    one, other = results[name], results[base]
    if isinstance(one, Measured) and isinstance(other, Measured) and other.steps_per_second:
        return one.steps_per_second / other.steps_per_second
    return None


def same_pixels(results: Results, name: str, base: str) -> bool | None:
    """Return whether two variants have the same pixels, or None unless both were measured."""
    one, other = results[name], results[base]
    if isinstance(one, Measured) and isinstance(other, Measured):
        return one.sha256 == other.sha256
    return None


def _defects_of(variant: Variant, results: Results) -> list[str]:
    result = results[variant.name]
    if isinstance(result, NotMeasured):
        return [f"{variant.name}: not measured: {result.reason}"] if result.failed else []
    found = []
    if not result.repeatable:
        found.append(f"{variant.name}: the same job had different pixels")
    if result.failed_captures:
        found.append(f"{variant.name}: {result.failed_captures} CUDA graphs could not be captured")
    if variant.compared_with and same_pixels(results, variant.name, variant.compared_with) is False:
        found.append(f"{variant.name}: other pixels than {variant.compared_with}")
    return found
