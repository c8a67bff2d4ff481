"""`audit-env session`: people at the table, and what was sealed."""
