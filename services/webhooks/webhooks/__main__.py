"""`python -m webhooks`: the service that sends webhooks."""

from chassis.service import main
from webhooks.app import open_app
from webhooks.settings import Settings

main("webhooks", Settings, open_app)
