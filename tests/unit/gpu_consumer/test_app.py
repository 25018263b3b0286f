"""The order to load a model."""

from pathlib import Path

import msgspec

from chassis.settings import load
from darkroom_contracts.models import Range, load_catalogue
from gpu_consumer.app import render_process
from gpu_consumer.settings import Settings

ENVIRONMENT = {
    "DARKROOM_AMQP_URL": "amqp://localhost/",
    "DARKROOM_DATABASE_URL": "postgresql://localhost/darkroom",
    "DARKROOM_S3_ENDPOINT": "http://localhost:9000",
    "DARKROOM_S3_ACCESS_KEY": "access",
    "DARKROOM_S3_SECRET_KEY": "secret",
    "DARKROOM_MODEL": "tiny",
    "DARKROOM_CUDA_GRAPHS": "true",
}


def test_the_warm_up_gets_the_models_default_guidance_and_the_graphs() -> None:
    """The warm-up has the model's default guidance, and the configured use of CUDA graphs."""
    model = load_catalogue(Path("deploy/models.toml")).find("tiny")
    distilled = msgspec.structs.replace(model, guidance_scale=Range(0, 2, 0.5))
    order = render_process(load(Settings, ENVIRONMENT), distilled)._load
    assert (order.guidance_scale, order.cuda_graphs, order.compile) == (0.5, True, False)
