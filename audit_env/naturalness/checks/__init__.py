"""The checks: what can be said of one answer, each a pure function of texts and numbers."""
