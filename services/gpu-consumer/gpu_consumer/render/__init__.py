"""The render process and the service's handle on it.

`process`, `child_process`, `log_tail` and `protocol` serve the service and import no torch. `pipeline`, `loader`,
`device`, `schedulers` and `failures` are imported by the render process alone, `python -m gpu_consumer.render`.
"""
