"""The benchmarks: `make bench` runs them against a private stack and records the results with machine and date."""
