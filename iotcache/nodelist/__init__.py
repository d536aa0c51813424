"""Where the list of cache nodes comes from: a file that is watched, DNS, or a managed cluster's own answer.

Parsing (`listing`, `file_text`, `discovery_text`) is apart from asking (`file_source`, `dns_source`,
`discovery_source`). `sources` opens what a URL names, `watch` keeps looking.
"""
