"""The dashboard as a web page: an HTTP server that gives every visitor a process of their own."""
