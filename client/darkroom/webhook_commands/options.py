"""What the commands of webhooks have in common."""

from typing import Literal
from uuid import UUID

import click

from darkroom.webhook_endpoints import EndpointId
from darkroom_contracts.states import EndpointAudience

operator_option = click.option(
    "--operator", is_flag=True, help="Use DARKROOM_OPERATOR_KEY, for the endpoints of operators."
)


def audience(operator: bool) -> EndpointAudience:
    """Return whose endpoints a command is about."""
    return EndpointAudience.OPERATOR if operator else EndpointAudience.CLIENT


class EndpointType(click.ParamType[EndpointId]):
    """The id of an endpoint, or `implicit`."""

    name = "endpoint"

    def convert(
        self, value: str | EndpointId, param: click.Parameter | None, ctx: click.Context | None
    ) -> UUID | Literal["implicit"]:
        if isinstance(value, UUID):
            return value
        if value == "implicit":
            return "implicit"
        try:
            return UUID(value)
        except ValueError:
            self.fail(
                f"{value!r} is not an endpoint's id; `darkroom webhooks endpoints list` shows the ids, and `implicit`"
                " stands for the endpoint of the jobs' webhook URLs.",
                param,
                ctx,
            )


endpoint_argument = click.argument("endpoint", metavar="ENDPOINT", type=EndpointType())
