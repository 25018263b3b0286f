"""What a GPU consumer counts and times."""

from prometheus_client import Counter, Enum, Histogram

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SLOW = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 120, 300, 600)

ATTEMPTS = Counter("darkroom_attempts_total", "Attempts that this worker ended.", ["outcome"])
MESSAGES = Counter("darkroom_messages_total", "Messages that this worker was done with.", ["verdict"])
RENDER_SECONDS = Histogram("darkroom_render_seconds", "Time in the pipeline, per job.", buckets=_SLOW)
OVERHEAD_SECONDS = Histogram(
    "darkroom_overhead_seconds",
    "Time the GPU was idle for a job: from its delivery on, less the pipeline.",
    buckets=_FAST,
)
STORE_SECONDS = Histogram("darkroom_store_seconds", "Time to encode and store a job's pictures.", buckets=_FAST)
SETTLE_SECONDS = Histogram("darkroom_settle_seconds", "Time to record an attempt's outcome.", buckets=_FAST)
RENDER_PROCESS_LOSSES = Counter("darkroom_render_process_losses_total", "Render processes that died or hung.")
STATE = Enum(
    "darkroom_worker_state", "What the worker does.", states=["starting", "waiting", "rendering", "closed", "draining"]
)
