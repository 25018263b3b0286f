"""One picture, the way a client of the HTTP API gets it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from PIL import Image
from rich.progress import BarColumn, Progress, TextColumn
from rich_pixels import Pixels

from darkroom import Client
from darkroom.errors import DarkroomError
from darkroom_contracts.api import Job
from darkroom_contracts.states import JobStatus
from darkroom_local.console import console
from darkroom_local.errors import LocalError

PROMPT = "two red circles on a blue background"
SEED = 1
"""The demonstration is the same every time; without a seed every job has its own."""
SHOWN_PIXELS = 32
"""Width and height of the picture on the terminal, where two pixels share a character."""
DEADLINE_SECONDS = 600


def render_picture(url: str, key: str, folder: Path, prompt: str) -> Path:
    """Submit a prompt, show its progress, download the picture and show it too. Raises LocalError."""
    try:
        # A transport of our own keeps the environment's proxies out of a conversation with this very machine.
        with Client(url, key, transport=httpx2.HTTPTransport()) as client:
            path = _render(client, folder, prompt)
    except DarkroomError as error:
        raise LocalError(f"{error} `make logs` tells what the services do.") from error
    if console.is_terminal:
        _show(path)
    return path


def _render(client: Client, folder: Path, prompt: str) -> Path:
    submitted = client.submit(prompt, seed=SEED)
    console.print(f'Submitted "{prompt}" as job {submitted.id}.', markup=False)
    with _progress(submitted) as show:
        job = client.wait(submitted.id, timeout_seconds=DEADLINE_SECONDS, on_look=show)
    if job.status != JobStatus.SUCCEEDED:
        raise LocalError(f"The job ended {job.status}: {job.error.message if job.error else 'no reason given'}")
    path = folder / f"{job.id}.png"
    path.write_bytes(client.download(job.outputs[0]))
    return path


def _show(path: Path) -> None:
    """The picture in coloured characters."""
    with Image.open(path) as picture:
        console.print(Pixels.from_image(picture.convert("RGB"), resize=(SHOWN_PIXELS, SHOWN_PIXELS)))


@contextmanager
def _progress(submitted: Job) -> Iterator[Callable[[Job], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} steps"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(submitted.status, total=submitted.input.num_inference_steps)

        def show(job: Job) -> None:
            bar.update(task, description=job.status, completed=job.progress.step if job.progress else 0)

        yield show
