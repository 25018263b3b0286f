from pathlib import Path

import pytest

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer.render.pipeline import Pipeline
from tests.support.model_folders import add_checker
from tests.support.rendering import failure, open_pipeline, render


@pytest.fixture
def checked(folder: Path) -> Pipeline:
    """A pipeline with a safety checker that objects to nothing."""
    add_checker(folder)
    checked = open_pipeline(folder, safety_checker=True)
    assert checked._model.safety_checker is not None
    return checked


def test_picture_without_objection(checked: Pipeline, pipeline: Pipeline) -> None:
    """A picture that the checker lets pass is the same as without a checker."""
    assert render(checked).images == render(pipeline).images


def test_objection(checked: Pipeline) -> None:
    """A picture that the checker objects to fails the job for good, told by its seed, and is not handed over."""
    checked._model.safety_checker.concept_embeds_weights.data.fill_(-2)  # every picture is like enough to a concept
    failed = failure(checked, seed=41)
    assert (failed.code, failed.kind) == (JobErrorCode.UNSAFE_OUTPUT, "permanent")
    assert failed.message == "The model's safety checker flagged the picture of seed 41."
