"""The operators' commands, which `darkroom` loads as entry points. None of them imports torch."""
