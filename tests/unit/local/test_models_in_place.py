"""Installing the models that come with the project."""

from pathlib import Path

import pytest

from darkroom_local import setup
from darkroom_local.home import Home

WEIGHTS = Path("unet/diffusion_pytorch_model.safetensors")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("DARKROOM_MODELS_HOME", raising=False)
    home = Home(tmp_path / "home")
    home.create()
    return home


def test_a_shipped_model_is_put_in_place_whole(home: Home) -> None:
    """It is complete afterwards, and the folder of models contains nothing else."""
    assert setup.model_is_missing(home, "shapes")
    setup.provide_model(home, "shapes")
    assert not setup.model_is_missing(home, "shapes")
    assert (home.models_home / "shapes" / WEIGHTS).read_bytes() == (setup.SHIPPED / "shapes" / WEIGHTS).read_bytes()
    assert [path.name for path in home.models_home.iterdir()] == ["shapes"]


def test_an_older_one_is_exchanged(home: Home) -> None:
    """A folder with a different manifest is replaced as a whole by the model of the project."""
    old = home.models_home / "shapes"
    old.mkdir()
    (old / setup.MANIFEST).write_text("another")
    (old / "old.json").touch()
    assert setup.model_is_missing(home, "shapes")
    setup.provide_model(home, "shapes")
    assert not setup.model_is_missing(home, "shapes")
    assert not (old / "old.json").exists()


def test_a_model_of_ones_own_is_left_alone(home: Home) -> None:
    """A model of another origin never counts as missing: its worker reports what is wrong with it."""
    assert not setup.model_is_missing(home, "mine")
