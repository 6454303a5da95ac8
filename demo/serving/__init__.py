"""Limits, queueing and cleanup for the public demo."""
