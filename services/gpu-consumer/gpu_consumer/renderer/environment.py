"""The environment of the child processes that import torch."""

import os

_DEFAULTS = {
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # a number in CUDA_VISIBLE_DEVICES then means the same GPU as in NVML
}
_FIXED = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",  # read at import: it reports the absence of torchvision
    "TOKENIZERS_PARALLELISM": "false",
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",  # fewer out-of-memory failures from fragmentation
    "PYTHONUNBUFFERED": "1",
}


def child_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment, offline and without Darkroom's settings, which hold credentials."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
    return _DEFAULTS | inherited | _FIXED | changes
