"""What the studies (``scripts/study_*.py``) are made of."""
