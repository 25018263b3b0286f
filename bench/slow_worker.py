"""`python -m bench.slow_worker`: a worker with a slower decode, by BENCH_DECODE_MS milliseconds, as of large pictures.

`python -m bench.slow_worker FD` is its render process.
"""

import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

DECODE_MS = "BENCH_DECODE_MS"


def run_worker() -> None:
    """Run the worker with this module as its render process."""
    from gpu_consumer.renderer import child_process

    child_process.PROGRAM = "bench.slow_worker"
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    runpy.run_module("gpu_consumer", run_name="__main__")


def run_render_process() -> None:
    """Run the render process with a pause after the last step, which the worker counts as decode."""
    from gpu_consumer.render.__main__ import main
    from gpu_consumer.render.pipeline import Pipeline

    denoise, seconds = Pipeline._denoise, float(os.environ[DECODE_MS]) / 1000

    def slower(*arguments: Any) -> Any:
        latents = denoise(*arguments)
        time.sleep(seconds)
        return latents

    setattr(Pipeline, "_denoise", slower)  # noqa: B010 - mypy refuses to assign to a method
    main()


if __name__ == "__main__":
    run_render_process() if len(sys.argv) > 1 else run_worker()
