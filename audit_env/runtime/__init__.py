"""Engines behind one Subject handle, the cast of a run, and the Inspect provider `organism/<id>`."""
