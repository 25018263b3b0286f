"""The render process, `python -m gpu_consumer.render`.

Only this package and the builder of the tiny model import torch. `child` receives requests, `pipeline` renders them
(`batches`, `schedulers`, `engines`, `progress`, `previews`, `decoding`, `safety`), and `failures` classifies
exceptions. The service's side is `gpu_consumer.renderer`.
"""
