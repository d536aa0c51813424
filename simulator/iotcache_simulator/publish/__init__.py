"""The fleet at work: its stream sent on time, counted, and told in a report."""
