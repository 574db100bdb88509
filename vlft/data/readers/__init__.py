"""One file per format on disk; each reader is a lazy, map-style set of canonical records."""
