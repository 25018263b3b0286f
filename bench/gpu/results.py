"""What a variant showed, or why it showed nothing."""

from collections.abc import Mapping

import msgspec

from bench.gpu.subjects import VARIANTS, Variant

GIBIBYTE = 2**30


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A variant's figures."""

    device: str
    versions: dict[str, str]
    """Library -> version."""
    load_seconds: float
    """Import of the libraries and reading of the folder included."""
    warmup_seconds: float
    steps_per_second: float
    """While denoising; the median of the renders."""
    decode_ms: float
    """Median."""
    held_bytes: int
    """Allocated by the warm model between jobs."""
    peak_bytes: int
    """Allocated at the highest, in a render."""
    device_bytes: int | None
    """In use on the whole GPU after the renders, by its driver; what graphs hold is part of this alone."""
    idle_share: float
    """Of the time between the first request and the last answer: the part in which no render ran."""
    renders: int
    sha256: str
    """Of the job's pixels."""
    repeatable: bool
    """All renders of the job had these pixels."""
    failed_captures: int


class NotMeasured(msgspec.Struct, frozen=True):
    """A variant without figures."""

    reason: str
    failed: bool
    """It should have had some."""


Result = Measured | NotMeasured
Results = Mapping[str, Result]
"""Of one model, by variant."""


def mistakes(results: Results) -> list[str]:
    """A line for everything that a good run does not have."""
    return [line for variant in VARIANTS for line in _mistakes_of(variant, results)]


def ratio(results: Results, name: str, base: str) -> float | None:
    """Steps a second of one variant over those of another; None unless both were measured."""
    one, other = results[name], results[base]
    if isinstance(one, Measured) and isinstance(other, Measured) and other.steps_per_second:
        return one.steps_per_second / other.steps_per_second
    return None


def same_pixels(results: Results, name: str, base: str) -> bool | None:
    """None unless both were measured."""
    one, other = results[name], results[base]
    if isinstance(one, Measured) and isinstance(other, Measured):
        return one.sha256 == other.sha256
    return None


def _mistakes_of(variant: Variant, results: Results) -> list[str]:
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
