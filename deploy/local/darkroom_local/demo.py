"""One picture, the way a client of the HTTP API gets it."""

import time
from pathlib import Path
from typing import Any

import httpx
from rich.progress import BarColumn, Progress, TextColumn

from darkroom_local.console import console
from darkroom_local.errors import LocalError

PROMPT = "a lighthouse at dusk, waves against the rocks, film grain"
DEADLINE_SECONDS = 600
POLL_SECONDS = 0.1


def render_picture(url: str, key: str, folder: Path) -> Path:
    """Submit a prompt, show its progress, and download the picture. Raises LocalError."""
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as http:
        job = _checked(http.post("/v1/jobs", json={"input": {"prompt": PROMPT}}))
        console.print(f'Submitted "{PROMPT}" as job {job["id"]}.')
        job = _follow(http, job["id"])
    if job["status"] != "succeeded":
        raise LocalError(f"The job ended {job['status']}: {(job['error'] or {}).get('message', 'no reason given')}")
    return _download(job, folder)


def _follow(http: httpx.Client, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + DEADLINE_SECONDS
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} steps"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("queued")
        while time.monotonic() < deadline:
            job = _checked(http.get(f"/v1/jobs/{job_id}"))
            progress = job["progress"] or {}
            steps = job["input"]["num_inference_steps"]
            bar.update(task, description=job["status"], total=steps, completed=progress.get("step", 0))
            if job["status"] not in ("queued", "running"):
                return job
            time.sleep(POLL_SECONDS)
    raise LocalError(f"The job is not done after {DEADLINE_SECONDS} s; `make logs` tells what the worker does.")


def _download(job: dict[str, Any], folder: Path) -> Path:
    """The picture's presigned URL needs no key."""
    output = job["outputs"][0]
    response = httpx.get(output["url"], timeout=30, trust_env=False)
    if response.is_error:
        raise LocalError(f"The picture can't be downloaded: {response.status_code} {response.text}")
    path = folder / f"{job['id']}.png"
    path.write_bytes(response.content)
    return path


def _checked(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise LocalError(f"The API answers {response.status_code}: {response.text}")
    body: dict[str, Any] = response.json()
    return body
