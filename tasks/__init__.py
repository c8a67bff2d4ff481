"""What one runs: each file is an Inspect task."""
