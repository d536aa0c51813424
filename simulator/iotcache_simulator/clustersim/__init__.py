"""Deterministic simulation of the cluster client: virtual time and network, faults, a checked history.

Everything that is nondeterministic in the world (time, sockets, the order of tasks, faults) is decided by one
scheduler out of one seed, as FoundationDB and TigerBeetle test their servers. The client under test is
the real `iotcache.cluster.Cluster`; the nodes are the bundled engine, in memory. No real time passes, and a
history is repeated exactly by its seed.
"""
