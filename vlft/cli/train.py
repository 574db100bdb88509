"""``vlft train``: recipe, launch, host, adapter, data, trainer, evaluation, on one screen."""

import shlex
from contextlib import nullcontext
from pathlib import Path

INTERRUPTED = 130
"""Exit status of a run that was stopped by a signal, as a shell gives it for Ctrl-C."""


def run(name: str, overrides: list[str], *, resume: bool) -> int:
    """Train a recipe; return the exit status.

    Raises:
        VlftError: For everything that a user can mend.
    """
    from vlft.recipe import load_recipe, validate
    from vlft.recipe.rooted import rooted

    loaded = load_recipe(name, overrides)
    recipe = rooted(loaded.recipe)
    validate(recipe)

    from peft import PeftModel
    from transformers import set_seed

    from vlft import hub
    from vlft.adapters import apply_adapter, mutation
    from vlft.backbones import count_towers
    from vlft.backbones.quantization import quantize
    from vlft.cli.report import tower_table
    from vlft.cli.suite import suite_callback
    from vlft.cli.train_disk import say_if_tight
    from vlft.cli.train_features import cached_features
    from vlft.cli.train_prepare import prepared
    from vlft.data import pipeline
    from vlft.training import fit as fitting
    from vlft.training import run_directory
    from vlft.training.launch import (
        is_main_process,
        leave_group,
        read_launch,
        training_arguments,
    )

    launch = read_launch()
    batches = validate(recipe, launch)
    run_dir = Path(recipe.training.output_dir or f"runs/{loaded.name}")
    say = print if is_main_process() else _silent
    is_main = is_main_process()
    with run_directory.started(run_dir, resume=resume) if is_main else nullcontext():
        resume_from = run_directory.last_checkpoint(run_dir) if resume else None
        if resume:
            run_directory.require_same_recipe(run_dir, recipe)
        if is_main:
            run_directory.remove_incomplete(run_dir)
            run_directory.write_recipe(run_dir, recipe)
            run_directory.write_environment(run_dir, launch)
        arguments = training_arguments(recipe, launch, batches, run_dir)
        suite = suite_callback(recipe, run_dir)

        set_seed(recipe.seed)
        found = None
        if resume_from is not None:
            backbone = hub.build_base(recipe, run_dir, resume_from)
            if (run_dir / mutation.FOLDER).is_dir():
                mutation.take_out(backbone.model, mutation.read_initial(run_dir))
        else:
            backbone = hub.starting_host(recipe)
            found = prepared(
                backbone, recipe, launch, run_dir=run_dir, device=arguments.device, say=say
            )
            if found is None:
                whole = recipe.adapter.type == "full"
                fitting.write_base(backbone, run_dir, whole_is_trained=whole)
            else:
                fitting.write_prepared_base(backbone, run_dir, recipe, found.start)
                set_seed(recipe.seed)  # what follows is the same, prepared now or before
        backbone = quantize(backbone, recipe.backbone, recipe.training)
        backbone = apply_adapter(
            backbone, recipe.adapter, recipe.towers, plain_init=resume_from is not None
        )
        if found is not None:
            assert isinstance(backbone.model, PeftModel)
            mutation.put_in(backbone.model, found.start)
        say(tower_table(backbone))
        if is_main:
            towers = count_towers(backbone)
            run_directory.write_parameters(
                run_dir,
                total=sum(tower.total for tower in towers),
                trained=sum(tower.trainable for tower in towers),
            )
            if found is not None:
                run_directory.write_calibration(run_dir, found)

        say_if_tight(backbone, recipe, run_dir, say)
        assert recipe.data.train is not None  # validate(recipe, launch) refuses a recipe without
        train = pipeline.open_samples(
            backbone, recipe.data, recipe.data.train, run_dir, seed=recipe.seed
        )
        validation = (
            pipeline.open_samples(backbone, recipe.data, recipe.data.validation, run_dir)
            if recipe.data.validation
            else None
        )
        say(pipeline.audit_summary(backbone, train))
        if validation is not None:
            pipeline.audit_summary(backbone, validation)
        if recipe.training.dataloader_drop_last:
            batch = recipe.training.global_batch_size
            pipeline.require_one_batch(train, global_batch_size=batch)
        blank_inputs = None
        if recipe.data.cache_vision_features:
            train, validation, blank_inputs = cached_features(
                backbone, train, validation, device=arguments.device, say=say
            )

    done = fitting.fit(
        recipe=recipe,
        arguments=arguments,
        backbone=backbone,
        train=train,
        validation=validation,
        collate=pipeline.collator(backbone, blank_inputs=blank_inputs),
        resume_from=resume_from,
        suite=suite,
    )
    leave_group()
    if done.interrupted:
        again = shlex.join(["vlft", "train", name, *overrides, "--resume"])
        say(f"stopped after step {done.steps}; go on with: {again}")
        return INTERRUPTED
    say(f"finished {done.steps} steps: {run_dir}")
    return 0


def prepare_only(name: str, overrides: list[str]) -> int:
    """Prepare a recipe's adapter and keep the result; return the exit status.

    Raises:
        AdapterError: The adapter needs no preparation.
        VlftError: For everything that a user can mend.
    """
    from vlft.errors import AdapterError
    from vlft.recipe import load_recipe, validate
    from vlft.recipe.rooted import rooted

    loaded = load_recipe(name, overrides)
    recipe = rooted(loaded.recipe)
    validate(recipe)

    from transformers import set_seed

    from vlft import hub
    from vlft.adapters import ADAPTERS
    from vlft.cli.train_prepare import prepared
    from vlft.training.launch import is_main_process, leave_group, read_launch, training_arguments

    if ADAPTERS[recipe.adapter.type].prepare is None:
        raise AdapterError(
            f"--prepare-only: adapter.type: {recipe.adapter.type} needs no preparation; leave "
            "the option out"
        )
    launch = read_launch()
    batches = validate(recipe, launch)
    run_dir = Path(recipe.training.output_dir or f"runs/{loaded.name}")
    arguments = training_arguments(recipe, launch, batches, run_dir)
    set_seed(recipe.seed)
    prepared(
        hub.starting_host(recipe),
        recipe,
        launch,
        run_dir=None,
        device=arguments.device,
        say=print if is_main_process() else _silent,
    )
    leave_group()
    return 0


def _silent(text: str) -> None:
    """Say nothing: another process does."""
