"""`python -m gpu_consumer`: the rendering service. Exit codes: gpu_consumer.startup.ExitCode."""

from chassis.service import main
from gpu_consumer.app import open_app
from gpu_consumer.settings import Settings

main("gpu-consumer", Settings, open_app)
