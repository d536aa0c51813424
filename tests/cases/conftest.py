"""The servers, workers and stores of the other tests, for messages of other people's fleets."""

from tests.ingest.conftest import link, settings_for, worker
from tests.store.conftest import postgres

__all__ = ["link", "postgres", "settings_for", "worker"]
