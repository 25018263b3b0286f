"""The reasons for the loss of a render process."""

import signal

import pytest

from gpu_consumer.renderer.loss import Loss, loss_by_exit


@pytest.mark.parametrize(
    ("returncode", "host_out_of_memory", "expected"),
    [
        (1, False, Loss("exit", "exit code 1")),
        (0, True, Loss("exit", "exit code 0")),
        (-signal.SIGSEGV, False, Loss("SIGSEGV", "SIGSEGV")),
        (-signal.SIGSEGV, True, Loss("SIGSEGV", "SIGSEGV")),
        (-signal.SIGKILL, False, Loss("SIGKILL", "SIGKILL")),
        (-signal.SIGKILL, True, Loss("host_memory", "killed because the host ran out of memory (SIGKILL)")),
        (-50, False, Loss("signal 50", "signal 50")),
    ],
)
def test_a_return_code_tells_how_it_ended(returncode: int, host_out_of_memory: bool, expected: Loss) -> None:
    """A return code gives the loss; only a SIGKILL can be the kernel's for lack of memory."""
    assert loss_by_exit(returncode, host_out_of_memory=host_out_of_memory) == expected
