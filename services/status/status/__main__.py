"""`python -m status`: the service that answers reads."""

from chassis.service import main
from status.app import open_app
from status.settings import Settings

main("status", Settings, open_app)
