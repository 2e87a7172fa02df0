"""The method against its rivals, at equal time and by the same exact measures: `python -m generator evaluate`."""
