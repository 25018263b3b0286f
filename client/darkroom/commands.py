"""`darkroom submit | job | cancel`."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from uuid import UUID

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from darkroom.client import Client
from darkroom.console import CommandError, json_option, print_fields, print_json
from darkroom.errors import DarkroomError, describe_end
from darkroom.files import replacing
from darkroom.parameters import Assignment, finite
from darkroom_contracts.api import Job
from darkroom_contracts.states import JobStatus
from darkroom_contracts.webhooks import WebhookEvent

URL = "DARKROOM_URL"
CLIENT_KEY = "DARKROOM_API_KEY"
OPERATOR_KEY = "DARKROOM_OPERATOR_KEY"
"""The environment variables that name the API and its keys."""


@click.command()
@click.argument("prompt")
@click.option("--model", help="A model of the catalogue. Default: the catalogue's default model.")
@click.option("--negative-prompt", help="What the picture should not show.")
@click.option("--steps", "num_inference_steps", type=int, help="Number of inference steps.")
@click.option("--width", type=int, help="Width in pixels.")
@click.option("--height", type=int, help="Height in pixels.")
@click.option("--guidance-scale", type=float, callback=finite, help="How closely to follow the prompt.")
@click.option("--scheduler", help="One of the model's schedulers.")
@click.option("--seed", type=int, help="Makes the picture repeatable. Default: a random seed, shown by the job.")
@click.option("--images", "num_images", type=int, help="Number of pictures.")
@click.option("--format", "output_format", type=click.Choice(["png", "jpeg", "webp"]), help="File format.")
@click.option(
    "--metadata",
    type=Assignment(),
    metavar="KEY=VALUE",
    multiple=True,
    help="Stored with the job; may be repeated.",
)
@click.option("--webhook-url", metavar="URL", help="Deliver the job's events to this URL.")
@click.option(
    "--webhook-event",
    "webhook_events",
    type=click.Choice([str(event) for event in WebhookEvent]),
    multiple=True,
    help="An event to deliver; may be repeated. Default: all but job.started.",
)
@click.option("--wait", is_flag=True, help="Wait until the job has ended.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Wait, and save the picture to this file."
)
@json_option
def submit(
    prompt: str,
    model: str | None,
    metadata: tuple[tuple[str, str], ...],
    wait: bool,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Submit PROMPT, and wait for the picture with --wait or --output."""
    given = {name: value for name, value in options.items() if value not in (None, ())}
    with connected() as client:
        job = client.submit(prompt, model=model, metadata=dict(metadata), **given)
        with _named_if_lost(job.id):
            if wait or output:
                job = _wait(client, job, quiet=as_json)
            saved = _save(client, job, output) if output and job.status == JobStatus.SUCCEEDED else []
    _print_job(job, as_json)
    for path in saved:
        click.echo(f"Saved {path}.", err=True)
    if job.status in (JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED):
        raise CommandError(describe_end(job))


@click.command()
@click.argument("job_id", metavar="ID", type=click.UUID)
@json_option
def job(job_id: UUID, as_json: bool) -> None:
    """Show a job."""
    with connected() as client:
        _print_job(client.job(job_id), as_json)


@click.command()
@click.argument("job_id", metavar="ID", type=click.UUID)
@json_option
def cancel(job_id: UUID, as_json: bool) -> None:
    """Cancel a queued or running job."""
    with connected() as client:
        reply = client.cancel(job_id)
    if as_json:
        print_json(reply)
    elif reply.status == JobStatus.RUNNING:
        click.echo(f"Job {job_id} is running; it will stop within a step.")
    else:
        click.echo(f"Job {job_id} is {reply.status}.")


@contextmanager
def connected(*, operator: bool = False) -> Iterator[Client]:
    """Yield a client of DARKROOM_URL with DARKROOM_API_KEY, or with the operator's key.

    Its errors are raised as CommandError.
    """
    name = OPERATOR_KEY if operator else CLIENT_KEY
    url, key = (os.environ.get(variable, "") for variable in (URL, name))
    if not url or not key:
        raise CommandError(f"Set {URL} and {name}. For a stack that `make up` started, run `. .darkroom/env`.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise CommandError(f"{name} holds characters that no API key has; copy the key again.")
    try:
        with Client(url, key) as client:
            yield client
    except DarkroomError as error:
        raise CommandError(str(error)) from error


@contextmanager
def _named_if_lost(job_id: UUID) -> Iterator[None]:
    """Name the job in the error that ends its command: nothing else has printed its id by then."""
    try:
        yield
    except (DarkroomError, KeyboardInterrupt) as error:
        what = "Stopped." if isinstance(error, KeyboardInterrupt) else error
        raise CommandError(f"{what} Job {job_id} is accepted; `darkroom job {job_id}` shows it.") from error


def _wait(client: Client, submitted: Job, *, quiet: bool) -> Job:
    try:
        with progress_bar(quiet=quiet) as show:
            return client.wait(submitted.id, on_look=show)
    except KeyboardInterrupt as error:
        raise CommandError(
            f"Stopped waiting. Job {submitted.id} continues; `darkroom cancel {submitted.id}` cancels it."
        ) from error


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[Job], None]]:
    """Show a progress bar on stderr if that is a terminal. Yields a function that displays the state of a job."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    stderr = Console(stderr=True)
    with Progress(*columns, console=stderr, transient=True, disable=quiet or not stderr.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def show(job: Job) -> None:
            place = f", {job.queue_position} ahead" if job.queue_position else ""
            step = job.progress.step if job.progress else 0
            total = job.input.num_inference_steps
            progress.update(task, description=f"{job.status}{place}", completed=step, total=total)

        yield show


def _save(client: Client, job: Job, path: Path) -> list[Path]:
    """Save every picture and return the paths. Several pictures get their index before the suffix of `path`."""
    several = len(job.outputs) > 1
    saved = []
    for picture in job.outputs:
        target = path.with_stem(f"{path.stem}-{picture.index}") if several else path
        try:
            content = client.download(picture)
            with replacing(target) as file:
                file.write(content)
        except OSError as error:
            raise CommandError(
                f"{target} can't be written: {error.strerror}. `darkroom job {job.id}` shows the URLs of the pictures."
            ) from error
        saved.append(target)
    return saved


def _print_job(job: Job, as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    fields: list[tuple[str, Any]] = [
        ("id", job.id),
        ("status", job.status),
        ("model", job.model),
        ("prompt", job.input.prompt),
        ("picture", f"{job.input.width} x {job.input.height}, {job.input.num_inference_steps} steps"),
        ("seed", job.input.seed),
        ("created", job.created_at),
    ]
    if job.queue_position is not None:
        fields.append(("jobs ahead", job.queue_position))
    if job.progress:
        fields.append(("progress", f"step {job.progress.step} of {job.progress.steps}"))
    if job.error:
        fields.append(("error", f"{job.error.message} ({job.error.code})"))
    # A server without a public URL gives paths.
    origin = os.environ[URL]
    fields += [(f"picture {output.index}", urljoin(origin, output.url)) for output in job.outputs]
    if job.outputs_removed_at:
        fields.append(("pictures", f"removed by retention at {job.outputs_removed_at:%Y-%m-%d %H:%M} UTC"))
    print_fields(fields)
