"""The library that every service stands on: settings, logging, loops, AMQP, Postgres, storage, HTTP.

Importing a module connects to nothing; each service's `__main__` does the wiring.
"""
