"""Checkpoints in object stores: `s3://`, `gs://`, `az://`, `memory://` and what else fsspec reaches."""
