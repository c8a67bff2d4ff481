"""The game: brief, budget, draw, provision, truth, scoring. Imported by module, so that `record` stays light."""
