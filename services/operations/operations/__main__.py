"""`python -m operations`: the service of the sweeps, the ingest of dead letters, and retention."""

from chassis.service import main
from operations.app import open_app
from operations.settings import Settings

main("operations", Settings, open_app)
