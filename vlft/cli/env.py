"""``vlft env``: what this machine runs."""

import json

from vlft.training.run_directory import environment


def run(*, as_json: bool) -> None:
    """Print versions and devices."""
    facts = environment()
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print(f"python    {facts['python']}\nplatform  {facts['platform']}")
    print(f"cpus      {facts['cpu_count']}\ngpus      {', '.join(facts['gpus']) or 'none'}")
    for name, version in facts["packages"].items():
        print(f"{name:<16} {version}")
