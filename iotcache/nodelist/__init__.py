"""Where the list of cache nodes comes from: a file that is watched, DNS, or a managed cluster's own answer.

Parsing (`listing`, `file_text`, `discovery_text`) is apart from asking (`file_source`, `dns_source`,
`discovery_source`). `sources` opens what a URL names, `watch` keeps looking.
"""

from iotcache.nodelist.listing import NodeListError, NodeListing
from iotcache.nodelist.sources import NodeListSource, open_source, with_listed_nodes

__all__ = ["NodeListError", "NodeListSource", "NodeListing", "open_source", "with_listed_nodes"]
