"""A static page: the network runs in the visitor's browser, not on a server."""
