"""Helpers that plug-ins share."""
