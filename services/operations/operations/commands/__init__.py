"""The commands of operators, found by `darkroom` through their entry points. They connect to Postgres directly."""
