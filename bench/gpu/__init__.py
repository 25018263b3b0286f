"""`make bench-gpu`: full-size models with random weights on this machine's GPU, with and without each option.

Each variant is measured in a render process of its own, without a broker or a database. Variants that do not fit into
the time limit are listed as not measured. `--device cpu --tiny` tries the program on tiny models.
"""
