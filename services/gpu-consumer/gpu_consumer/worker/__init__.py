"""The worker's life: it holds its name, keeps a session, and takes one message at a time.

`worker` runs the parts, `presence` holds the name, `session` reports, `consumer` and `slot` fetch messages,
`gpu_monitor` reads the GPU.
"""
