"""The endpoints of the service's HTTP API, a module for each topic."""
