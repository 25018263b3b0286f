"""Reads: a job as its row, its live events and its queue tell it, and the models on offer.

The row is the truth. Without RabbitMQ only the steps between two heartbeats go missing.
"""
