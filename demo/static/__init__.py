"""A page that needs no server: the network runs in the browser."""
