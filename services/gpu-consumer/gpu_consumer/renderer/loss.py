"""Why a render process is gone."""

import signal
from enum import StrEnum

import msgspec


class LossKind(StrEnum):
    """The few ways there are; a signal that nobody here sent goes by its own name."""

    EXIT = "exit"
    """It ended by itself."""
    HOST_MEMORY = "host_memory"
    """The kernel killed it, because the host or its control group ran out of memory."""
    HUNG = "hung"
    DEVICE_LOST = "device_lost"
    """Its CUDA context is gone, and with it every later render."""
    SUSPECTED = "suspected"
    """It failed at what it had done well before."""
    PROTOCOL = "protocol"
    """It answered what was not asked."""
    STOPPED = "stopped"
    """The service wanted it gone."""


class Loss(msgspec.Struct, frozen=True):
    kind: str
    """A LossKind, or the name of the signal that ended it. Few values: fit for a metric's label."""
    reason: str
    """For people."""


STOPPED = Loss(LossKind.STOPPED, "stopped by the worker")


def loss_by_exit(returncode: int | None, *, host_out_of_memory: bool) -> Loss:
    """The loss that a return code stands for; a negative one is a signal's number."""
    if returncode is None or returncode >= 0:
        return Loss(LossKind.EXIT, f"exit code {returncode}")
    if -returncode == signal.SIGKILL and host_out_of_memory:
        return Loss(LossKind.HOST_MEMORY, "killed for the host's lack of memory (SIGKILL)")
    name = _signal_name(-returncode)
    return Loss(name, name)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a realtime signal
        return f"signal {number}"
