from pathlib import Path

import msgspec
import pytest

from contracts.models import load_catalogue
from gpu_consumer.render import schedulers

CATALOGUE = Path(__file__).parents[4] / "deploy/models.toml"


def test_every_name_of_the_contract_is_known() -> None:
    """Every scheduler that the catalogue lets a job ask for can be built."""
    assert set(load_catalogue(CATALOGUE).find("tiny").schedulers) == set(schedulers.NAMES)


@pytest.mark.parametrize("name", schedulers.NAMES)
def test_most_steps_stay_within_the_training(name: str, tiny_model: Path) -> None:
    """At the most steps that the catalogue allows, no scheduler counts past the last step of the training."""
    config = msgspec.json.decode((tiny_model / "scheduler/scheduler_config.json").read_bytes())
    scheduler = schedulers.build_scheduler(name, config)
    scheduler.set_timesteps(int(load_catalogue(CATALOGUE).find("tiny").steps.maximum))
    assert 0 <= scheduler.timesteps.min() <= scheduler.timesteps.max() < scheduler.config.num_train_timesteps
