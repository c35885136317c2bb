"""The calls of a run as tables: Parquet files that other tools read (docs/tables.md)."""
