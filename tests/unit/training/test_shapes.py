import numpy as np
import pytest

from training.shapes.drawing import PALETTE, draw
from training.shapes.scenes import COLOURS, DEMONSTRATED, HELD_OUT, SHAPES, Scene, all_scenes, split
from training.shapes.scorer import Reading, read

TRAINING, HELD = split()


def test_nothing_held_out_is_trained_on() -> None:
    """The training and held-out scenes are disjoint, captions included, and together are all scenes."""
    assert len(HELD) == HELD_OUT
    assert set(TRAINING).isdisjoint(HELD)
    assert set(TRAINING) | set(HELD) == set(all_scenes())
    assert {way for scene in TRAINING for way in scene.captions}.isdisjoint(scene.caption for scene in HELD)


def test_what_is_demonstrated_is_held_out() -> None:
    """The demonstration's prompt is held out."""
    assert DEMONSTRATED.caption == "two red circles on a blue background"
    assert DEMONSTRATED in HELD


def test_every_word_is_trained_on() -> None:
    """Training contains each colour as figure and as background, and each shape in each count."""
    assert {scene.colour for scene in TRAINING} == {scene.background for scene in TRAINING} == set(COLOURS)
    assert {(scene.shape, scene.count) for scene in TRAINING} == {(s, n) for s in SHAPES for n in range(1, 5)}


@pytest.mark.parametrize(
    ("scene", "caption"),
    [
        (Scene(1, "orange", "star", "blue"), "one orange star on a blue background"),
        (Scene(3, "white", "square", "orange"), "three white squares on an orange background"),
    ],
)
def test_captions_are_english(scene: Scene, caption: str) -> None:
    """Captions have the correct number and article."""
    assert scene.caption == caption


def test_an_article_stands_for_one() -> None:
    """A single figure can have an article instead of a number."""
    assert "an orange star on a blue background" in Scene(1, "orange", "star", "blue").captions


@pytest.mark.parametrize("scene", all_scenes()[::7], ids=lambda scene: scene.caption)
def test_the_scorer_reads_drawings(scene: Scene) -> None:
    """The scorer reads every drawn scene correctly, with any jitter."""
    expected = Reading(scene.count, scene.colour, scene.shape, scene.background)
    assert [read(draw(scene, seed)) for seed in (1, 2)] == [expected, expected]


def test_the_scorer_reads_noisy_drawings() -> None:
    """The scorer tolerates a renderer's small errors."""
    noise = np.random.default_rng(1).normal(0, 6, (64, 64, 3))
    picture = (draw(DEMONSTRATED, 1) + noise).clip(0, 255).astype(np.uint8)
    assert read(picture) == Reading(2, "red", "circle", "blue")


def test_the_scorer_is_not_kind() -> None:
    """The scorer detects a missing figure, another colour and another shape."""
    right = draw(Scene(2, "red", "circle", "blue"), 1)
    other = draw(Scene(2, "green", "square", "blue"), 1)
    half = np.concatenate([right[:, :32], np.broadcast_to(right[:, :1], (64, 32, 3))], axis=1)
    mixed = np.concatenate([right[:, :32], other[:, 32:]], axis=1)
    assert read(half) == Reading(1, "red", "circle", "blue")
    assert read(mixed) == Reading(2, "mixed", "mixed", "blue")


def test_an_empty_picture_shows_nothing() -> None:
    """A plain background reads as no figures."""
    plain = np.full((64, 64, 3), PALETTE["blue"], dtype=np.uint8)
    assert read(plain) == Reading(0, "none", "none", "blue")
