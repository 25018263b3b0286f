"""The environment of the child processes that import torch."""

import pytest

from gpu_consumer.renderer.environment import child_environment


def test_a_child_gets_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings hold credentials, and a child needs none of them; the rest of the environment is passed on."""
    monkeypatch.setenv("DARKROOM_DATABASE_URL", "postgres://secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    environment = child_environment()
    assert not [name for name in environment if name.startswith("DARKROOM_")]
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert environment["HF_HUB_OFFLINE"] == "1"


def test_the_order_of_gpus_is_a_default_and_changes_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person may set another order; what the caller asks for replaces what was inherited."""
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    assert child_environment()["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    changed = child_environment(CUDA_VISIBLE_DEVICES="")
    assert (changed["CUDA_DEVICE_ORDER"], changed["CUDA_VISIBLE_DEVICES"]) == ("FASTEST_FIRST", "")
