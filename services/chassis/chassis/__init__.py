"""The shared library of the services: settings, logs, loops, RabbitMQ, Postgres, storage, HTTP.

Importing a module opens no connection; each service's `app.py` does the wiring.
"""
