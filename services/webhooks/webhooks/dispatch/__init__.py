"""Dispatch: due deliveries are claimed, sent and completed. Several processes may dispatch at once.

dispatcher (allotment, freezing) -> flights (signing) -> the receiver -> verdict -> completing. An attempt is logged in
the transaction of its claim, before it is sent; every later write is fenced by its lease token.
"""
