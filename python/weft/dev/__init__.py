"""`weft dev`: an App served while it is written. Never imported in production."""
