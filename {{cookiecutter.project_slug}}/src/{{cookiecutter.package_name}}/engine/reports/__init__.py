"""Finished runs made readable: tables, statistics, pages."""
