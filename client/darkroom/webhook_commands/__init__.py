"""`darkroom webhooks`."""

import click

from darkroom.webhook_commands.listen import listen

webhooks = click.Group("webhooks", help="Receive webhooks.", commands=[listen])
