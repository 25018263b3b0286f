"""The metrics of a GPU consumer. docs/operating.md explains each."""

from enum import StrEnum

from prometheus_client import Counter, Enum, Gauge, Histogram

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SLOW = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 120, 300, 600)


class Phase(StrEnum):
    """The phases of a job in a worker, in order."""

    CLAIM = "claim"
    """From the message's delivery until the claim is answered."""
    WAIT = "wait"
    """Waiting for a warm render process, for the job before to be stored, and for the next one to begin."""
    DENOISE = "denoise"
    DECODE = "decode"
    ENCODE = "encode"
    """Encoding pixels to a file, per picture."""
    PUT = "put"
    """Putting the file into the bucket, per picture."""
    SETTLE = "settle"


class WorkerState(StrEnum):
    """What a worker does."""

    STARTING = "starting"
    WAITING = "waiting"
    """For a message."""
    RENDERING = "rendering"
    CLOSED = "closed"
    """A condition for taking messages does not hold."""
    DRAINING = "draining"


ATTEMPTS = Counter("darkroom_attempts_total", "Attempts that this worker ended.", ["outcome"])
ATTEMPT_SECONDS = Histogram(
    "darkroom_attempt_seconds",
    "Time of an attempt, from its message's delivery to its settlement.",
    ["model", "outcome"],
    buckets=_SLOW,
)
ATTEMPT_ERRORS = Counter(
    "darkroom_attempt_errors_total", "Attempts that failed, by the error's code.", ["model", "code"]
)
MESSAGES = Counter("darkroom_messages_total", "Messages that this worker was done with.", ["verdict"])
STATE = Enum("darkroom_worker_state", "What the worker does.", states=[str(state) for state in WorkerState])
PHASE_SECONDS = Histogram(
    "darkroom_phase_seconds", "Time in each phase of a job.", ["phase"], buckets=sorted({*_FAST, *_SLOW})
)
RENDER_SECONDS = Histogram("darkroom_render_seconds", "Time in the pipeline, per job.", buckets=_SLOW)
OVERHEAD_SECONDS = Histogram(
    "darkroom_overhead_seconds",
    "Time the GPU was idle for a job: from its delivery on, less the pipeline.",
    buckets=_FAST,
)
CANCEL_SECONDS = Histogram(
    "darkroom_cancel_seconds", "From the request to cancel a rendering job until its render ended.", buckets=_FAST
)

STEPS = Counter("darkroom_render_steps_total", "Steps that the schedulers made.")
STEPS_PER_SECOND = Gauge("darkroom_steps_per_second", "Steps a second while denoising, in the latest render.")
RENDER_FAILURES = Counter("darkroom_render_failures_total", "Renders that failed, by the error's code.", ["code"])
TILED_RENDERS = Counter("darkroom_tiled_renders_total", "Renders decoded in tiles, for lack of memory.")

GPU_SECONDS = Counter("darkroom_gpu_seconds_total", "The worker's wall time by what its GPU was used for.", ["use"])
GPU_IDLE_SHARE = Gauge(
    "darkroom_gpu_idle_share", "Share of the time with a warm render process in which no render ran."
)
GPU_OVERHEAD_SHARE = Gauge(
    "darkroom_gpu_overhead_share", "The same, without the time in which there was nothing to render."
)

RENDER_PROCESS_LOSSES = Counter(
    "darkroom_render_process_losses_total", "Render processes that died, hung or were replaced.", ["reason"]
)
LOAD_SECONDS = Gauge("darkroom_model_load_seconds", "Time the render process took to load its model.")
WARMUP_SECONDS = Gauge("darkroom_model_warmup_seconds", "Time it took to render every warm-up size.")
FAILED_CAPTURES = Gauge(
    "darkroom_failed_graph_captures", "CUDA graphs that the render process could not capture and renders without."
)
MEMORY_BASELINE_BYTES = Gauge("darkroom_render_memory_baseline_bytes", "Held by the warm model between jobs.")
MEMORY_PEAK_BYTES = Gauge("darkroom_render_memory_peak_bytes", "The most that was held in the latest render.")

# Read by NVML. They have labels, so that without a driver they have no samples.
GPU_UTILISATION = Gauge("darkroom_gpu_utilisation_ratio", "Share of the last moments with a kernel running.", ["gpu"])
GPU_MEMORY_USED_BYTES = Gauge("darkroom_gpu_memory_used_bytes", "Memory in use on the GPU, by whomever.", ["gpu"])
GPU_MEMORY_TOTAL_BYTES = Gauge("darkroom_gpu_memory_total_bytes", "The GPU's memory.", ["gpu"])
GPU_TEMPERATURE = Gauge("darkroom_gpu_temperature_celsius", "The GPU's temperature.", ["gpu"])
