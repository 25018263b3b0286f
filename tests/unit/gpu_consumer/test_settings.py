"""The worker's settings."""

import socket

import pytest

from chassis.settings import SettingsError, load
from gpu_consumer.settings import Settings

NEEDED = {
    "DARKROOM_AMQP_URL": "amqp://localhost/",
    "DARKROOM_DATABASE_URL": "postgresql://localhost/darkroom",
    "DARKROOM_S3_ENDPOINT": "http://localhost:9000",
    "DARKROOM_S3_ACCESS_KEY": "access",
    "DARKROOM_S3_SECRET_KEY": "secret",
    "DARKROOM_MODEL": "tiny",
}


def test_the_device_is_a_gpu_unless_the_cpu_is_asked_for() -> None:
    """The device is the GPU unless the CPU is configured."""
    assert load(Settings, NEEDED).device == "cuda"
    assert load(Settings, NEEDED | {"DARKROOM_DEVICE": "cpu"}).device == "cpu"


def test_a_worker_without_a_name_is_called_after_its_machine_and_model() -> None:
    """A worker without a name is named after its machine and model."""
    assert load(Settings, NEEDED).name == f"{socket.gethostname()}-tiny"
    assert load(Settings, NEEDED | {"DARKROOM_WORKER_NAME": "ansel"}).name == "ansel"


def test_a_heartbeat_comes_five_times_a_lease() -> None:
    """A lease is five heartbeats long."""
    assert load(Settings, NEEDED | {"DARKROOM_LEASE_SECONDS": "10"}).heartbeat_seconds == 2


def test_all_mistakes_are_told_at_once() -> None:
    """One error lists a wrong device, a wrong name and a missing model."""
    wrong = NEEDED | {"DARKROOM_MODEL": "", "DARKROOM_DEVICE": "tpu", "DARKROOM_WORKER_NAME": "a b"}
    with pytest.raises(SettingsError) as error:
        load(Settings, wrong)
    assert {line.partition(":")[0] for line in str(error.value).splitlines()} == {
        "DARKROOM_MODEL",
        "DARKROOM_DEVICE",
        "DARKROOM_WORKER_NAME",
    }


def test_a_gpu_s_options_are_off_and_the_overlap_is_on() -> None:
    """Each of a GPU's options is one variable with its default."""
    plain = load(Settings, NEEDED)
    assert (plain.channels_last, plain.compile, plain.overlap) == (False, False, True)
    assert not plain.cuda_graphs
    changes = {"DARKROOM_CHANNELS_LAST": "true", "DARKROOM_COMPILE": "true", "DARKROOM_OVERLAP": "false"}
    changed = load(Settings, NEEDED | changes)
    assert (changed.channels_last, changed.compile, changed.overlap) == (True, True, False)
    assert load(Settings, NEEDED | {"DARKROOM_CUDA_GRAPHS": "true"}).cuda_graphs


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"DARKROOM_COMPILE": "true"}, "set either it or DARKROOM_COMPILE to false"),
        ({"DARKROOM_DEVICE": "cpu"}, "set it to false, or DARKROOM_DEVICE to cuda"),
    ],
)
def test_graphs_are_refused_where_they_can_not_be(changes: dict[str, str], advice: str) -> None:
    """CUDA graphs are refused with compiled code and on a CPU, with a message that says what to change."""
    load(Settings, NEEDED | {"DARKROOM_CUDA_GRAPHS": "true"})
    load(Settings, NEEDED | changes)
    with pytest.raises(SettingsError, match=f"^DARKROOM_CUDA_GRAPHS: .*{advice}") as refused:
        load(Settings, NEEDED | {"DARKROOM_CUDA_GRAPHS": "true"} | changes)
    assert "\n" not in str(refused.value)
