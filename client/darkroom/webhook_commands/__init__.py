"""`darkroom webhooks`."""

import click

from darkroom.webhook_commands.deliveries import deliveries
from darkroom.webhook_commands.endpoints import endpoints
from darkroom.webhook_commands.listening import listen
from darkroom.webhook_commands.recovery import recover, redeliver
from darkroom.webhook_commands.secrets import secret

webhooks = click.Group(
    "webhooks",
    help="Receive webhooks, and manage their endpoints, deliveries and secrets.",
    commands=[endpoints, deliveries, redeliver, recover, secret, listen],
)
