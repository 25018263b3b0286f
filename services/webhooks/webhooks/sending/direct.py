"""The direct way to a receiver: resolve once, check every address, connect to one that was checked."""

import socket
from collections.abc import Sequence
from time import monotonic

from chassis.denied_networks import Address
from chassis.targets import Policy, Target
from webhooks.sending.outcome import FailureKind, Progress, SendError
from webhooks.sending.resolving import Resolver
from webhooks.sending.sockets import ConnectError, connect


class Direct:
    """Connects to the addresses that the policy allows, and to no other."""

    def __init__(self, policy: Policy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver

    async def connect(self, target: Target, progress: Progress) -> socket.socket:
        """Return a socket that is connected to the target's host. Raises SendError."""
        addresses = allowed(self._policy, target.host, await self._resolve(target, progress))
        progress.stage = "the connection was being opened"
        started = monotonic()
        try:
            sock = await connect(addresses, target.port)
        except ConnectError as error:
            raise SendError(
                FailureKind.CONNECT, f"No connection to {target.host}, port {target.port}: {error}."
            ) from error
        progress.timings.connect = monotonic() - started
        return sock

    async def _resolve(self, target: Target, progress: Progress) -> Sequence[Address]:
        if target.address is not None:
            return [target.address]
        started = monotonic()
        found = await self._resolver.resolve(target.host)
        progress.timings.dns = monotonic() - started
        return found


def allowed(policy: Policy, host: str, found: Sequence[Address]) -> list[Address]:
    """Return the addresses that the policy allows. Raises SendError if there is none."""
    refusals = {address: policy.refusal(host, address) for address in found}
    if addresses := [address for address, refusal in refusals.items() if refusal is None]:
        return addresses
    what = next(iter(refusals.values()))
    raise SendError(
        FailureKind.DENIED, f"{host} has no address that webhooks may reach: its address belongs to {what}."
    )
