"""The catalogue as clients see it."""

from pathlib import Path

import msgspec

from darkroom_contracts.api import AllowedSize
from darkroom_contracts.models import Catalogue, load_catalogue
from status.models import list_models

CATALOGUE = Path(__file__).parents[3] / "deploy" / "models.toml"


def test_clients_see_names_bounds_and_defaults() -> None:
    """Ranges have the names of the input's fields, and pixels and steps are whole numbers."""
    catalogue = load_catalogue(CATALOGUE)
    (view,) = (model for model in list_models(catalogue).models if model.name == "tiny")
    tiny = catalogue.find("tiny")
    assert view.schedulers == tiny.schedulers
    assert (view.width.minimum, view.width.maximum, view.width.default) == (64, 512, 64)
    assert isinstance(view.num_inference_steps.default, int)
    assert view.guidance_scale.default == tiny.guidance_scale.default
    assert (view.max_images, view.max_cost) == (tiny.max_images, tiny.max_cost)


def test_clients_see_the_only_sizes() -> None:
    """Listed sizes are shown; a model with ranges alone has none."""
    tiny = load_catalogue(CATALOGUE).find("tiny")
    sized = msgspec.structs.replace(tiny, name="sized", sizes=("64x64", "64x128"))
    ranged, listed = list_models(Catalogue((tiny, sized))).models
    assert ranged.sizes == []
    assert listed.sizes == [AllowedSize(64, 64), AllowedSize(64, 128)]
    assert listed.pipeline == "StableDiffusionPipeline"


def test_clients_do_not_see_where_the_weights_lie() -> None:
    """Paths and sources are visible to operators only."""
    body = msgspec.to_builtins(list_models(load_catalogue(CATALOGUE)))
    assert all(not model.keys() & {"path", "hub", "revision"} for model in body["models"])


def test_the_first_model_alone_is_the_default() -> None:
    """The default renders jobs that name no model."""
    models = list_models(load_catalogue(CATALOGUE)).models
    assert [model.default for model in models] == [True] + [False] * (len(models) - 1)
