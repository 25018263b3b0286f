"""`python -m bench.slow_worker`: a worker whose jobs take BENCH_DECODE_MS longer to decode, as large pictures do.

Its render process is this module, too: `python -m bench.slow_worker FD`.
"""

import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

DECODE_MS = "BENCH_DECODE_MS"


def run_worker() -> None:
    from gpu_consumer.renderer import child_process

    child_process.PROGRAM = "bench.slow_worker"
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    runpy.run_module("gpu_consumer", run_name="__main__")


def run_render_process() -> None:
    """The wait comes after the last step: to the worker it is the decode."""
    from gpu_consumer.render.__main__ import main
    from gpu_consumer.render.pipeline import Pipeline

    denoise, seconds = Pipeline._denoise, float(os.environ[DECODE_MS]) / 1000

    def slower(*arguments: Any) -> Any:
        latents = denoise(*arguments)
        time.sleep(seconds)
        return latents

    setattr(Pipeline, "_denoise", slower)  # noqa: B010 - mypy knows no methods that take whatever comes
    main()


if __name__ == "__main__":
    run_render_process() if len(sys.argv) > 1 else run_worker()
