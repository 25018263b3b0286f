"""The render process and the service's handle on it.

`process` and `protocol` belong to the service and import no torch; `pipeline`, `device`, `schedulers` and `failures`
are imported by the render process alone, which `python -m gpu_consumer.render` starts.
"""
