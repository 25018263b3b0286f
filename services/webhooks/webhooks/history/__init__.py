"""History: the log of deliveries as their owners see it, and sending deliveries again.

deliveries (list, get), redelivery and recovery are the use cases; they read pages by id, since ids are ordered by time.
A receiver's response is never read here.
"""
