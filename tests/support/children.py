"""Child processes that can't outlive the test run."""

import asyncio
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

GRACE_SECONDS = 60.0
REAP_SECONDS = 10.0


class Child:
    """One process with its output in a file. The kernel ends it when the test run dies, however that happens.

    Start it from the main thread: the kernel counts the death of the starting thread.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        log: Path,
        *,
        stop_signal: str = "TERM",
        signal_of_orphans: str = "KILL",
    ) -> None:
        self.log = log
        self._stop_signal = signal.Signals[f"SIG{stop_signal}"]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                tie_to_caller(command, signal_of_orphans),
                env=dict(environment),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    @property
    def running(self) -> bool:
        return self.returncode is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a process that is gone already gets none."""
        self._process.send_signal(number)

    async def wait(self, seconds: float = GRACE_SECONDS) -> int:
        """Its return code, once it ended by itself. Raises TimeoutError."""
        try:
            return await asyncio.to_thread(self._process.wait, seconds)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"pid {self.pid} still runs after {seconds} s; its log ends:\n{self.tail()}") from error

    async def stop(self, seconds: float = GRACE_SECONDS) -> int:
        """Ask it to stop and wait until it did. Raises TimeoutError."""
        self.send(self._stop_signal)
        return await self.wait(seconds)

    async def end(self, seconds: float) -> None:
        """Ask it to stop; kill it when it still runs after so long."""
        try:
            await self.stop(seconds)
        except TimeoutError:
            self.kill()

    def kill(self) -> None:
        """SIGKILL it and reap it."""
        self._process.kill()
        self._process.wait()

    def kill_tree(self) -> None:
        """SIGKILL it and all its descendants, frozen ones too, and wait until each is gone. Raises TimeoutError."""
        if not self.running:
            return
        self.send(signal.SIGSTOP)  # it starts no more of them
        descendants = psutil.Process(self.pid).children(recursive=True)
        self.kill()
        for process in descendants:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        _, alive = psutil.wait_procs(descendants, timeout=REAP_SECONDS)
        if alive:
            raise TimeoutError(f"{alive} still there {REAP_SECONDS} s after SIGKILL")

    def tail(self, lines: int = 30) -> str:
        """Return the last lines of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def tie_to_caller(command: Sequence[str], signal_name: str) -> list[str]:
    """Wrap the command so that the kernel sends it the signal when its parent dies.

    A program that changes its user loses that tie at the change, so for one that setpriv starts the tie goes inside.
    """
    rest = command[1:] if command[0] == "setpriv" else command
    return ["setpriv", f"--pdeathsig={signal_name}", *rest]
