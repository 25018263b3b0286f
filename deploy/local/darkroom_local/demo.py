"""`make demo`: one picture, rendered through the HTTP API as any client does it."""

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
"""Makes every demonstration the same; a job without a seed gets a random one."""
SHOWN_PIXELS = 32
"""Width and height of the picture on the terminal, where one character shows two pixels."""
DEADLINE_SECONDS = 600


def render_picture(url: str, key: str, folder: Path, prompt: str, model: str) -> Path:
    """Submit a prompt, show its progress, download the picture, show it and return its path. Raises LocalError."""
    try:
        # An explicit transport ignores the environment's proxies: the API is on this machine.
        with Client(url, key, transport=httpx2.HTTPTransport()) as client:
            path = _render(client, folder, prompt, model)
    except DarkroomError as error:
        raise LocalError(f"{error} `make logs` shows the logs of the services.") from error
    if console.is_terminal:
        _show(path)
    return path


def _render(client: Client, folder: Path, prompt: str, model: str) -> Path:
    submitted = client.submit(prompt, model=model, seed=SEED)
    console.print(f'Submitted "{prompt}" as job {submitted.id}.', markup=False)
    with _progress(submitted) as show:
        job = client.wait(submitted.id, timeout_seconds=DEADLINE_SECONDS, on_look=show)
    if job.status != JobStatus.SUCCEEDED:
        reason = job.error.message if job.error else "The job has no error."
        raise LocalError(f"The job {job.id} ended with status {job.status}: {reason}")
    path = folder / f"{job.id}.png"
    path.write_bytes(client.download(job.outputs[0]))
    return path


def _show(path: Path) -> None:
    """Print the picture in coloured characters."""
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
