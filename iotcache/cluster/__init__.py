"""The cluster client: many memcached nodes as one, right when nodes fail."""
