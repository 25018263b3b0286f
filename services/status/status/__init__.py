"""The status service: reads of jobs, from their rows, live events and queues, and of the models.

The row decides. Without RabbitMQ only the steps between two heartbeats are missing.
"""
