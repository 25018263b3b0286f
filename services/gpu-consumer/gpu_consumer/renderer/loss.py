"""Why a render process was lost."""

import signal
from enum import StrEnum

import msgspec


class LossKind(StrEnum):
    """How a render process was lost. A signal from outside goes by its own name instead."""

    EXIT = "exit"
    """The process ended by itself."""
    HOST_MEMORY = "host_memory"
    """The kernel killed the process: the host or its control group ran out of memory."""
    HUNG = "hung"
    DEVICE_LOST = "device_lost"
    """The CUDA context is lost, so every later render would fail."""
    SUSPECTED = "suspected"
    """The process failed repeatedly at sizes that it had rendered before."""
    PROTOCOL = "protocol"
    """The process broke the protocol."""
    STOPPED = "stopped"
    """The worker stopped the process."""


class Loss(msgspec.Struct, frozen=True):
    """The loss of a render process."""

    kind: str
    """A LossKind, or the name of the signal that ended the process. Few values: fit for a metric's label."""
    reason: str
    """For people."""


STOPPED = Loss(LossKind.STOPPED, "stopped by the worker")


def loss_by_exit(returncode: int | None, *, host_out_of_memory: bool) -> Loss:
    """Return the loss for a return code. A negative code is a signal's number."""
    if returncode is None or returncode >= 0:
        return Loss(LossKind.EXIT, f"exit code {returncode}")
    if -returncode == signal.SIGKILL and host_out_of_memory:
        return Loss(LossKind.HOST_MEMORY, "killed because the host ran out of memory (SIGKILL)")
    name = _signal_name(-returncode)
    return Loss(name, name)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a realtime signal
        return f"signal {number}"
