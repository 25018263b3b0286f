"""Why a delivery can't be shown or sent again, as problems."""

from chassis.problems import ProblemError
from darkroom_contracts.errors import ApiError


class NoSuchDeliveryError(ProblemError):
    """The caller has no such delivery. Another tenant's delivery is answered in the same way."""

    def __init__(self) -> None:
        super().__init__(
            ApiError.NOT_FOUND,
            "There is no such delivery, or it was removed because of its age. Check its id, and that the API key is its"
            " tenant's.",
        )


class DeliveryInFlightError(ProblemError):
    """An attempt is under way, and its outcome is not known yet."""

    def __init__(self) -> None:
        super().__init__(
            ApiError.DELIVERY_IN_FLIGHT,
            "An attempt of the delivery is under way. Wait for its end, then send the delivery again if it failed.",
        )


class EndpointInactiveError(ProblemError):
    """The endpoint receives nothing, because it was disabled or deleted."""

    def __init__(self) -> None:
        super().__init__(
            ApiError.ENDPOINT_INACTIVE,
            "The endpoint is disabled or deleted, so nothing is sent to it. Enable it first, or create another one.",
        )
