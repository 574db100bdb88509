"""The harness: declared benchmarks (``eval/``), capabilities of models, scorers, one driver."""
