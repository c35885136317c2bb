"""Checks on finished facts: skipped collectives, races on files, work handles that are never waited for."""
