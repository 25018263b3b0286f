"""The render process and the service's handle on it.

`process`, `child_process`, `log_tail` and `protocol` serve the service and import no torch. The rest belongs to the
render process alone, `python -m gpu_consumer.render`: `child` takes orders, `pipeline` renders them (`batches`,
`schedulers`, `engines`, `progress`, `previews`, `decoding`, `safety`), `failures` says what went wrong.
"""
