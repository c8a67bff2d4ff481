"""`audit-env naturalness`: reports of finished measurements, and the prompts of the fruitfly's world."""
