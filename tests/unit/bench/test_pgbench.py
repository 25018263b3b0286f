from bench.pgbench import read_latencies, read_rate

OUTPUT = """\
transaction type: settles.pgbench
number of transactions actually processed: 6000/6000
initial connection time = 41.225 ms
tps = 2790.123456 (without initial connection time)
"""
LOG = """\
0 1 4123 0 1795888800 123456
7 1 902 0 1795888800 124001
"""


def test_the_rate_is_what_pgbench_counted() -> None:
    """It has no share of the time in which the clients connected."""
    assert read_rate(OUTPUT) == 2790.123456


def test_each_transaction_has_its_latency() -> None:
    """Microseconds become milliseconds."""
    assert read_latencies(LOG) == [4.123, 0.902]
