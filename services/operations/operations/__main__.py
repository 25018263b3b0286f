"""`python -m operations`: the service that sweeps, ingests dead letters and removes what is old."""

from chassis.service import main
from operations.app import open_app
from operations.settings import Settings

main("operations", Settings, open_app)
