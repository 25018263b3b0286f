"""`python -m gateway`: the intake service."""

from chassis.service import main
from gateway.app import open_app
from gateway.settings import Settings

main("gateway", Settings, open_app)
