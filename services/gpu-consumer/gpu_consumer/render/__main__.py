"""`python -m gpu_consumer.render FD`: the render process, over the socket that the service passed as FD.

It stands in a session of its own, so that a Ctrl-C at the service's terminal lets the running job finish, and dies
with the service: by the end of the socket, or by the kernel where the process is too busy to notice.
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
    # Without the interpreter's teardown, which may hang in a CUDA driver that lost its device.
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
