"""One module a command; each gives ``add_arguments`` and ``run``."""
