"""Fixes: built on libcst nodes, turned into text edits, applied atomically."""
