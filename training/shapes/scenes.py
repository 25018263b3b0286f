"""The scenes that the model can draw, their captions, and the split into training and held-out scenes."""

import random

import msgspec

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "grey", "black")
SHAPES = ("circle", "square", "triangle", "star")
COUNTS = ("one", "two", "three", "four")

HELD_OUT = 500
_SPLIT_SEED = 20


class Scene(msgspec.Struct, frozen=True, order=True):
    """One to four shapes of one kind and colour on a plain background of another colour."""

    count: int
    """Number of shapes, from 1 to 4."""
    colour: str
    shape: str
    background: str

    @property
    def caption(self) -> str:
        """The main caption, such as "two red circles on a blue background"."""
        return f"{self.subject} on {_article(self.background)} {self.background} background"

    @property
    def captions(self) -> tuple[str, ...]:
        """All wordings of the caption, the main one first."""
        ways = [
            self.caption,
            f"{self.subject} on {self.background}",
            f"{_article(self.background)} {self.background} background with {self.subject}",
            f"a picture of {self.subject} on {_article(self.background)} {self.background} background",
        ]
        if self.count == 1:
            rest = self.caption.removeprefix("one ")
            ways.append(f"{_article(self.colour)} {rest}")
        return tuple(ways)

    @property
    def subject(self) -> str:
        return f"{COUNTS[self.count - 1]} {self.colour} {self.shape}{'s' if self.count > 1 else ''}"


DEMONSTRATED = Scene(2, "red", "circle", "blue")
"""The scene of `make demo`. It is held out, so that the demonstration shows a picture that training never saw."""


def all_scenes() -> list[Scene]:
    """List every scene, in a fixed order."""
    return [
        Scene(count, colour, shape, background)
        for count in range(1, len(COUNTS) + 1)
        for shape in SHAPES
        for colour in COLOURS
        for background in COLOURS
        if colour != background
    ]


def split() -> tuple[list[Scene], list[Scene]]:
    """Return (training, held out): disjoint and deterministic."""
    scenes = [scene for scene in all_scenes() if scene != DEMONSTRATED]
    random.Random(_SPLIT_SEED).shuffle(scenes)  # noqa: S311 - a split, not a secret
    return scenes[HELD_OUT - 1 :], [DEMONSTRATED, *scenes[: HELD_OUT - 1]]


def words() -> tuple[str, ...]:
    """List every word of every caption, sorted."""
    return tuple(sorted({word for scene in all_scenes() for caption in scene.captions for word in caption.split()}))


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
