"""A scorer that reads a picture's content: shape, count, colour and background.

It shares no code with the drawing or the rendering: it separates figures from the background, counts connected regions,
names colours by hue, and recognises shapes by the share of their convex hull and bounding box that they fill.
"""

import colorsys
import math

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull

Pixels = npt.NDArray[np.uint8]
"""Shape (height, width, 3), RGB."""
Mask = npt.NDArray[np.bool_]

CONTRAST = 0.16
"""Smallest difference from the background, in any channel from 0 to 1, of a figure's pixel."""
SMALLEST = 0.003
"""Smallest share of the picture's area of a region that counts."""


class Reading(msgspec.Struct, frozen=True):
    """A picture's content in the captions' words; `mixed` if its figures differ, `none` without figures."""

    count: int
    colour: str
    shape: str
    background: str


def read(pixels: Pixels) -> Reading:
    """Read a picture's content. A picture without figures has the count 0 and the colour and shape `none`."""
    values = pixels.astype(np.float64) / 255
    ground = _ground(values)
    regions = _regions(np.abs(values - ground).max(axis=2) > CONTRAST)
    colours = [colour_name(np.median(values[_core(region)], axis=0)) for region in regions]
    shapes = [shape_name(region) for region in regions]
    return Reading(len(regions), _agreed(colours), _agreed(shapes), colour_name(np.median(ground, axis=(0, 1))))


def colour_name(rgb: npt.NDArray[np.float64]) -> str:
    """Return the name of a colour with channels from 0 to 1."""
    hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
    if value < 0.25:
        return "black"
    if saturation < 0.2:
        return "white" if value > 0.8 else "grey"
    degrees = 360 * hue
    for limit, name in ((12, "red"), (40, "orange"), (70, "yellow"), (170, "green"), (250, "blue"), (300, "purple")):
        if degrees < limit:
            return name
    return "pink" if degrees < 345 and value > 0.6 else "red"


def shape_name(region: Mask) -> str:
    """Return a region's shape, by its share of its convex hull and by the hull's share of its bounding box."""
    rows, columns = np.nonzero(region)
    corners = np.stack([rows, columns], axis=1)
    corners = np.concatenate([corners + offset for offset in ((0, 0), (0, 1), (1, 0), (1, 1))])
    hull = ConvexHull(corners).volume  # the area, in two dimensions
    box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    if region.sum() / hull < 0.8:
        return "star"
    fill = hull / box
    if fill < 0.7:
        return "triangle"
    return "circle" if fill < (math.pi / 4 + 1) / 2 else "square"


def _ground(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Estimate each row's background from the picture's sides: it can have a gradient. Shape (height, 1, 3)."""
    margin = max(1, values.shape[1] // 32)
    sides = np.concatenate([values[:, :margin], values[:, -margin:]], axis=1)
    rows = np.median(sides, axis=1)
    return ndimage.median_filter(rows, size=(9, 1), mode="nearest")[:, None, :]  # type: ignore[no-any-return]


def _regions(figures: Mask) -> list[Mask]:
    labels, count = ndimage.label(ndimage.binary_opening(figures))
    regions = [labels == number for number in range(1, count + 1)]
    return [ndimage.binary_fill_holes(region) for region in regions if region.sum() >= SMALLEST * figures.size]


def _core(region: Mask) -> Mask:
    """Erode the region by its soft edge, where colours mix."""
    core = ndimage.binary_erosion(region, iterations=2)
    return core if core.any() else region


def _agreed(names: list[str]) -> str:
    return names[0] if len(set(names)) == 1 else "mixed" if names else "none"
