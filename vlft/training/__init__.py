"""Training: the thin Trainer subclass, the launch, callbacks, and the run directory."""
