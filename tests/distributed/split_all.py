"""vlft's command line under a DeepSpeed that splits small tensors too, as it does large ones."""

import deepspeed

initialize = deepspeed.initialize


def splitting(*args, **kwargs):
    """Initialize with a threshold of nothing below which ZeRO-3 leaves tensors whole."""
    for name in ("config", "config_params"):
        if isinstance(kwargs.get(name), dict):
            kwargs[name]["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    return initialize(*args, **kwargs)


deepspeed.initialize = splitting

if __name__ == "__main__":
    from vlft.cli import app

    app()
