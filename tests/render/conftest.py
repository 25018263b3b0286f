"""Folders and pipelines that a test may modify."""

import shutil
from pathlib import Path

import pytest
import torch

from gpu_consumer.models import model_folder
from gpu_consumer.render.pipeline import Pipeline
from tests.support.rendering import open_pipeline


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny model without its manifest."""
    copy = tmp_path / "model"
    shutil.copytree(tiny_model, copy, ignore=shutil.ignore_patterns(model_folder.SUMS))
    return copy


@pytest.fixture(scope="module")
def pipeline(tiny_model: Path) -> Pipeline:
    """Return one warm pipeline on the CPU for the tests of a module."""
    torch.set_num_threads(1)
    return open_pipeline(tiny_model)
