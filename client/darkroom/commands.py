"""`darkroom submit | job | cancel`."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from darkroom.client import Client
from darkroom.console import CommandError, json_option, print_fields, print_json
from darkroom.errors import DarkroomError
from darkroom_contracts.api import Job
from darkroom_contracts.states import JobStatus


@click.command()
@click.argument("prompt")
@click.option("--model", help="A model of the catalogue; the default model where none is named.")
@click.option("--negative-prompt", help="What the picture should not show.")
@click.option("--steps", "num_inference_steps", type=int, help="Inference steps.")
@click.option("--width", type=int, help="Pixels.")
@click.option("--height", type=int, help="Pixels.")
@click.option("--guidance-scale", type=float, help="How closely to follow the prompt.")
@click.option("--scheduler", help="One of the model's schedulers.")
@click.option("--seed", type=int, help="Makes the picture repeatable; the job tells the one it took.")
@click.option("--images", "num_images", type=int, help="How many pictures.")
@click.option("--format", "output_format", type=click.Choice(["png", "jpeg", "webp"]), help="The pictures' format.")
@click.option("--wait", is_flag=True, help="Wait until the job has ended.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Wait and save the picture here.")
@json_option
def submit(prompt: str, model: str | None, wait: bool, output: Path | None, as_json: bool, **options: Any) -> None:
    """Submit PROMPT, and with --wait or --output stay until its picture is there."""
    given = {name: value for name, value in options.items() if value is not None}
    with connected() as client:
        job = client.submit(prompt, model=model, **given)
        if wait or output:
            job = _wait(client, job, quiet=as_json)
        saved = _save(client, job, output) if output and job.status == JobStatus.SUCCEEDED else []
    _print_job(job, as_json)
    for path in saved:
        click.echo(f"Saved {path}.", err=True)
    if job.status in (JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED):
        raise CommandError(_unsuccessful(job))


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
    """Cancel a job that waits or runs."""
    with connected() as client:
        reply = client.cancel(job_id)
    if as_json:
        print_json(reply)
    elif reply.status == JobStatus.RUNNING:
        click.echo(f"Job {job_id} is running and will stop within a step.")
    else:
        click.echo(f"Job {job_id} is {reply.status}.")


@contextmanager
def connected() -> Iterator[Client]:
    """A client of DARKROOM_URL with DARKROOM_API_KEY, whose errors are a command's."""
    url, key = (os.environ.get(name, "") for name in ("DARKROOM_URL", "DARKROOM_API_KEY"))
    if not url or not key:
        raise CommandError(
            "Set DARKROOM_URL and DARKROOM_API_KEY; beside a stack that `make up` started, `. .darkroom/env` does."
        )
    try:
        with Client(url, key) as client:
            yield client
    except DarkroomError as error:
        raise CommandError(str(error)) from error


def _wait(client: Client, submitted: Job, *, quiet: bool) -> Job:
    try:
        with progress_bar(quiet=quiet) as show:
            return client.wait(submitted.id, on_look=show)
    except KeyboardInterrupt as error:
        raise CommandError(
            f"Stopped waiting, and job {submitted.id} goes on; `darkroom cancel {submitted.id}` ends it."
        ) from error


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[Job], None]]:
    """A bar on stderr, where that is a terminal; yields what shows it a job's state."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    stderr = Console(stderr=True)
    with Progress(*columns, console=stderr, transient=True, disable=quiet or not stderr.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def show(job: Job) -> None:
            place = f", {job.queue_position} before it" if job.queue_position else ""
            step = job.progress.step if job.progress else 0
            total = job.input.num_inference_steps
            progress.update(task, description=f"{job.status}{place}", completed=step, total=total)

        yield show


def _save(client: Client, job: Job, path: Path) -> list[Path]:
    """Save every picture: to the path itself or, where there are several, with their index before its suffix."""
    several = len(job.outputs) > 1
    saved = []
    for picture in job.outputs:
        target = path.with_stem(f"{path.stem}-{picture.index}") if several else path
        try:
            target.write_bytes(client.download(picture))
        except OSError as error:
            raise CommandError(f"{target} can't be written: {error.strerror}.") from error
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
        fields.append(("before it", job.queue_position))
    if job.progress:
        fields.append(("progress", f"step {job.progress.step} of {job.progress.steps}"))
    if job.error:
        fields.append(("error", f"{job.error.message} ({job.error.code})"))
    fields += [(f"picture {output.index}", output.url) for output in job.outputs]
    if job.outputs_removed_at:
        fields.append(("pictures", f"removed for their age at {job.outputs_removed_at:%Y-%m-%d %H:%M} UTC"))
    print_fields(fields)


def _unsuccessful(job: Job) -> str:
    reason = f": {job.error.message} ({job.error.code})" if job.error else ""
    return f"Job {job.id} is {job.status}{reason}"
