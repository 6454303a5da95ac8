"""Serve the demo to the public, with limits per visitor, a fair queue and periodic cleanup."""
