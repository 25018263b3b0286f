from pathlib import Path

import pytest

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer.render.pipeline import Pipeline
from tests.support.model_folders import add_checker
from tests.support.rendering import failure, open_pipeline, render


@pytest.fixture
def checked(folder: Path) -> Pipeline:
    """Return a pipeline with a safety checker that flags nothing."""
    add_checker(folder)
    checked = open_pipeline(folder, safety_checker=True)
    assert checked._model.safety_checker is not None
    return checked


def test_picture_without_objection(checked: Pipeline, pipeline: Pipeline) -> None:
    """A picture that is not flagged has the same bytes as without a checker."""
    assert render(checked).images == render(pipeline).images


def test_objection(checked: Pipeline) -> None:
    """A flagged picture fails the job permanently, with its seed in the message, and is not sent."""
    checked._model.safety_checker.concept_embeds_weights.data.fill_(-2)  # every picture is like enough to a concept
    failed = failure(checked, seed=41)
    assert (failed.code, failed.kind) == (JobErrorCode.UNSAFE_OUTPUT, "permanent")
    assert failed.message == "The model's safety checker flagged the picture of seed 41."
