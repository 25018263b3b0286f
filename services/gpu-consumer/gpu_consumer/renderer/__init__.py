"""The parent's side of the render process: start it, render with it, replace it. Imports no torch.

`renderer` keeps a warm process, `process` and `child_process` talk to it, `suspicion` decides when to replace it, and
`loss`, `host_memory` and `log_tail` explain its death.
"""
