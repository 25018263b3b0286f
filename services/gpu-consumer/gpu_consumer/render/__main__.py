"""`python -m gpu_consumer.render FD`: the render process, serving the socket whose file descriptor is FD.

The process has a session of its own, so that a Ctrl-C at the service's terminal lets the running job finish. It exits
when the service does: at the end of file on the socket, or by the parent-death signal where it is too busy to read.
"""

import ctypes
import faulthandler
import os
import signal
import socket
import sys

from gpu_consumer.render.child import serve

PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    _die_with_parent()
    faulthandler.enable()
    code = serve(socket.socket(fileno=int(sys.argv[1])))
    # Skip the interpreter's teardown, which can hang in a CUDA driver that lost its device.
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
