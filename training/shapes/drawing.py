"""The drawing of scenes as training pictures."""

import math
import random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from training.shapes.scenes import Scene

Picture = npt.NDArray[np.uint8]
"""Shape (SIZE, SIZE, 3), RGB."""
Point = tuple[float, float]

SIZE = 64
OVERSAMPLING = 8
PALETTE = {
    "red": (216, 52, 52),
    "orange": (242, 140, 40),
    "yellow": (250, 214, 60),
    "green": (46, 158, 84),
    "blue": (44, 98, 212),
    "purple": (126, 66, 178),
    "pink": (244, 134, 184),
    "white": (246, 246, 242),
    "grey": (138, 142, 148),
    "black": (28, 28, 32),
}

# Few layouts and little jitter: variation that captions do not describe takes additional training to learn.
LAYOUTS: dict[int, tuple[Point, ...]] = {
    1: ((32, 32),),
    2: ((18, 32), (46, 32)),
    3: ((32, 18), (18, 45), (46, 45)),
    4: ((18, 18), (46, 18), (18, 46), (46, 46)),
}
"""Centres in pixels, by count."""
RADIUS = {1: 17.0, 2: 10.0, 3: 10.0, 4: 10.0}
"""Radius of the circle by count; the other shapes have a similar visual size."""
SHIFT = 1.5
SCALE = 0.05
GRADIENT = 0.07
"""Relative change of a background's colour: lighter at the top, darker at the bottom."""
SHADOW = 0.22
SHADOW_BLUR = 1.3
SHADOW_DROP = 2


def draw(scene: Scene, seed: int) -> Picture:
    """Draw the scene. `seed` determines the jitter: a shift and a scale of the whole."""
    jitter = random.Random(seed)  # noqa: S311 - a drawing, not a secret
    shift = (jitter.uniform(-SHIFT, SHIFT), jitter.uniform(-SHIFT, SHIFT))
    scale = 1 + jitter.uniform(-SCALE, SCALE)
    mask = _mask(scene, shift, scale)
    shadow = ImageChops.offset(mask, 0, SHADOW_DROP).filter(ImageFilter.GaussianBlur(SHADOW_BLUR))
    light = np.linspace(1 + GRADIENT, 1 - GRADIENT, SIZE)[:, None, None]
    ground = np.array(PALETTE[scene.background]) * light * (1 - SHADOW * _weights(shadow))
    colour = np.array(PALETTE[scene.colour])
    pixels = ground + (colour - ground) * _weights(mask)
    return pixels.round().clip(0, 255).astype(np.uint8)


def _mask(scene: Scene, shift: Point, scale: float) -> Image.Image:
    """Return a mask: white inside the shapes, with antialiased edges."""
    large = Image.new("L", (SIZE * OVERSAMPLING, SIZE * OVERSAMPLING))
    pen = ImageDraw.Draw(large)
    radius = RADIUS[scene.count] * scale
    for x, y in LAYOUTS[scene.count]:
        outline = _outline(scene.shape, x + shift[0], y + shift[1], radius)
        pen.polygon([(OVERSAMPLING * x, OVERSAMPLING * y) for x, y in outline], fill=255)
    return large.resize((SIZE, SIZE), Image.Resampling.BOX)


def _outline(shape: str, x: float, y: float, radius: float) -> list[Point]:
    match shape:
        case "circle":
            return _ring(x, y, [radius] * 120)
        case "square":
            half = 0.88 * radius
            return [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
        case "triangle":
            return _ring(x, y + 0.2 * radius, [1.25 * radius] * 3)
        case "star":
            return _ring(x, y + 0.05 * radius, [1.25 * radius, 0.52 * radius] * 5)
        case _:
            raise ValueError(f"Unknown shape {shape!r}.")


def _ring(x: float, y: float, radii: list[float]) -> list[Point]:
    """Return points around a centre at equal angles, starting at the top."""
    step = 2 * math.pi / len(radii)
    return [(x + r * math.sin(i * step), y - r * math.cos(i * step)) for i, r in enumerate(radii)]


def _weights(mask: Image.Image) -> npt.NDArray[np.float64]:
    """Return the mask as weights between 0 and 1, shape (SIZE, SIZE, 1)."""
    return np.asarray(mask, dtype=np.float64)[:, :, None] / 255
