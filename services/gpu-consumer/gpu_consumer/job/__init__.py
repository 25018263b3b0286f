"""One job, from its message to its settled outcome. `attempt` is the pipeline; `store` alone touches the job's row."""
