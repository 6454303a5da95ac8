"""Serves the demo to the public, with limits, a fair queue and cleanup."""
