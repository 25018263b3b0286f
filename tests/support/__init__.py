"""What the tests stand on: real parts, service processes, fresh databases, vhosts and buckets."""
