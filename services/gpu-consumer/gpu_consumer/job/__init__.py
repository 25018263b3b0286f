"""One job, from its message to its settled outcome.

`attempt` is the pipeline; its steps are `claiming`, `rendering`, `storing`, `settling` and `disposing`. `lease` holds
the claimed job, `verdict` and `outcome` are the values that the steps pass on, `store` alone touches the job's row, and
`telemetry` has all metrics and log events of an attempt.
"""
