"""`python -m tests.support.stand_in_worker`: the real worker, with the stand-in as its render process."""

import runpy
import sys

from tests.support.renderers import use_stand_in

if __name__ == "__main__":
    use_stand_in()
    sys.argv = ["gpu_consumer"]
    runpy.run_module("gpu_consumer", run_name="__main__", alter_sys=True)
