"""Darkroom's Python client.

    from darkroom import Client

    with Client("http://127.0.0.1:8080", "dk_client_...") as darkroom:
        job = darkroom.wait(darkroom.submit("a lighthouse at dusk").id)
        picture = darkroom.download(job.outputs[0])

`darkroom.webhooks` verifies webhooks. The `darkroom` command line lives in `darkroom.cli`.
"""

from darkroom import webhooks
from darkroom.client import Client
from darkroom.errors import ApiError, BrokenDownloadError, DarkroomError, StillRunningError, UnreachableError

__all__ = [
    "ApiError",
    "BrokenDownloadError",
    "Client",
    "DarkroomError",
    "StillRunningError",
    "UnreachableError",
    "webhooks",
]
