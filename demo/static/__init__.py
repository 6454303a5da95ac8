"""Build a static page that runs the network in the visitor's browser, not on a server."""
