"""Beside the job: processes of the same host that start it, compare its ranks while it runs, and end it."""
