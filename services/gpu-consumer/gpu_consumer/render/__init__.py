"""The render process, `python -m gpu_consumer.render`. The only package that imports torch, besides the builder of tiny.

`child` takes orders, `pipeline` renders them (`batches`, `schedulers`, `engines`, `progress`, `previews`, `decoding`,
`safety`), and `failures` classifies what went wrong. The service's side is `gpu_consumer.renderer`.
"""
