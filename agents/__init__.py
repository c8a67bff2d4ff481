"""Who audits: each file is an Inspect agent."""
