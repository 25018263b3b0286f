"""`make bench-gpu`: full-size models with random weights on this machine's GPU, plain and with each option.

A render process is measured for each variant, without a broker or a database. What does not fit into the time is
listed as not measured. With `--device cpu --tiny` the same program runs on tiny models, to try it.
"""
