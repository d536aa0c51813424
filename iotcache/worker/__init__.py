"""The ingest worker as a process: the parts put together, the HTTP gateway, metrics. The top floor of the
engine."""
