from pathlib import Path

import msgspec
import pytest

from darkroom_contracts.models import load_catalogue
from gpu_consumer.render import schedulers

CATALOGUE = Path(__file__).parents[2] / "deploy/models.toml"


def test_every_name_of_the_contract_is_known() -> None:
    """Every scheduler that the catalogue allows can be built."""
    assert set(load_catalogue(CATALOGUE).find("tiny").schedulers) == set(schedulers.NAMES)


@pytest.mark.parametrize("name", schedulers.NAMES)
def test_most_steps_stay_within_the_training(name: str, tiny_model: Path) -> None:
    """With the maximum of steps, no scheduler exceeds the last timestep of the training."""
    config = msgspec.json.decode((tiny_model / "scheduler/scheduler_config.json").read_bytes())
    most = int(load_catalogue(CATALOGUE).find("tiny").steps.maximum)
    scheduler = schedulers.build_scheduler(name, config, most)
    scheduler.set_timesteps(most)
    assert 0 <= scheduler.timesteps.min() <= scheduler.timesteps.max() < scheduler.config.num_train_timesteps


def test_few_steps_of_lcm_follow_its_distillation(tiny_model: Path) -> None:
    """Up to fifty steps, lcm selects its timesteps from the fifty of the distillation."""
    config = msgspec.json.decode((tiny_model / "scheduler/scheduler_config.json").read_bytes())
    scheduler = schedulers.build_scheduler("lcm", config, 4)
    scheduler.set_timesteps(4)
    assert scheduler.timesteps.tolist() == [999, 759, 499, 259]
