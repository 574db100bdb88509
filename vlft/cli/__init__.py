"""The command line: the composition root, where components meet.

Every command imports what it needs inside its function, so that ``vlft --help`` and ``vlft show``
answer without torch.
"""

from typing import Annotated

import typer

app = typer.Typer(
    name="vlft",
    help="Fine-tune vision-language models from one recipe, and measure them in one harness.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RecipeArgument = Annotated[str, typer.Argument(help="Recipe file, or the name of a shipped one.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Values that win over the file, such as training.max_steps=10.",
        show_default=False,
    ),
]


@app.command()
def init(
    model: Annotated[
        str | None,
        typer.Option(help="Hub id, checkpoint folder, or open_clip: and an architecture."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Your data: a file, a folder, or hub:user/name.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Instead: a shipped recipe to copy (`vlft list recipes`).")
    ] = None,
    adapter: Annotated[str, typer.Option(help="lora, qlora, full, corda or dehvf.")] = "lora",
    out: Annotated[
        str | None, typer.Option(help="File to write; default: recipe.yaml, or the copy's name.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write a recipe for a model and your data, or copy a shipped one."""
    from vlft.cli.init import run

    run(model=model, data=data, recipe=recipe, adapter=adapter, out=out, force=force)


@app.command()
def show(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    model: Annotated[
        bool, typer.Option("--model", help="Add the tower table, parameters, steps and memory.")
    ] = False,
    samples: Annotated[
        int, typer.Option(help="Show so many training samples with their supervised spans.")
    ] = 0,
    tokens: Annotated[
        int | None, typer.Option(help="Forecast memory for samples of so many tokens.")
    ] = None,
    images: Annotated[int, typer.Option(help="Forecast memory for so many images each.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (implies --model).")] = False,
) -> None:
    """Resolve a recipe and show every value with its origin. Nothing is trained or downloaded.

    Of a run with DEHVF, also draw which vision layers each language layer sees.
    """
    from vlft.cli.show import run

    run(
        recipe,
        overrides or [],
        model=model,
        samples=samples,
        as_json=as_json,
        tokens=tokens,
        images=images,
    )


@app.command()
def train(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run from its last complete checkpoint.")
    ] = False,
    prepare: Annotated[
        bool,
        typer.Option(
            "--prepare-only",
            help="Only prepare the adapter on its calibration data (CorDA), and keep the result.",
        ),
    ] = False,
) -> None:
    """Train a recipe, alone or on many processes: `accelerate launch ... -m vlft train RECIPE`."""
    from vlft.cli.train import prepare_only, run

    if prepare and resume:
        raise typer.BadParameter("--prepare-only prepares a run that is not there yet; leave one")
    if prepare:
        raise typer.Exit(prepare_only(recipe, overrides or []))
    raise typer.Exit(run(recipe, overrides or [], resume=resume))


@app.command("eval")
def evaluate(
    run_dir: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="Run directory, checkpoint, or hub:user/name; none with --predictions.",
            show_default=False,
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Values that win over the benchmark's file, and become part of its name.",
            show_default=False,
        ),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmark",
            "--suite",
            help="Benchmark or suite, by name (`vlft list benchmarks`, `vlft list suites`) or "
            "YAML file; may be repeated. Default: the suite of the run's recipe.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Folder of all benchmarks' data, folder or file of this one, or "
            "hub:user/name@revision. Default: $VLFT_DATA, else data/."
        ),
    ] = None,
    check_data: Annotated[
        bool, typer.Option("--check-data", help="Only check that the data are there and whole.")
    ] = False,
    predictions: Annotated[
        str | None, typer.Option(help="Score this file of predictions; no model is loaded.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(help="How texts of --predictions become answers; default: the benchmark's."),
    ] = None,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Score those --predictions that fit, and mark the result."),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="What the result calls the model; default: RUN or the file.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first records; such a result never ranks.", min=1)
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Samples per forward pass.", min=1)] = 32,
    out: Annotated[
        str | None,
        typer.Option(help="Folder for results; default: RUN/results; of a file, results/NAME."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Measure a run, or predictions made elsewhere, on benchmarks, and write result files.

    Alone or on many processes: `accelerate launch ... eval/run.py RUN --suite NAME`.
    """
    from vlft.cli.evaluate import Wanted, apart, check, run, score

    run_dir, changes = apart([*([] if run_dir is None else [run_dir]), *(overrides or [])])
    wanted = Wanted(benchmark or [], changes, data, name, out, as_json)
    if check_data:
        raise typer.Exit(check(run_dir, wanted))
    if predictions is not None:
        score(run_dir, predictions, wanted, limit=limit, policy=policy, partial=partial)
        return
    status = run(
        run_dir, wanted, limit=limit, batch_size=batch_size, policy=policy, partial=partial
    )
    raise typer.Exit(status)


@app.command()
def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help="Run directory, folder of results, or result file.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="What is compared with it.")],
    benchmark: Annotated[
        list[str] | None,
        typer.Option(help="Only this benchmark; may be repeated. Default: all that both have."),
    ] = None,
    groups: Annotated[
        bool, typer.Option("--groups", help="Show the difference per group.")
    ] = False,
    across_protocols: Annotated[
        bool,
        typer.Option("--across-protocols", help="Compare what was measured in different ways."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two runs sample by sample: paired difference, interval, McNemar's p."""
    from vlft.cli.compare import run

    status = run(
        first,
        second,
        benchmark or [],
        groups=groups,
        across_protocols=across_protocols,
        as_json=as_json,
    )
    raise typer.Exit(status)


@app.command()
def leaderboard(
    places: Annotated[
        list[str],
        typer.Argument(metavar="PLACES...", help="Folders that are searched, or result files."),
    ],
    out: Annotated[str, typer.Option(help="Folder to write.")] = "site",
    published: Annotated[
        str, typer.Option(help="Published tables: matching (what was measured), all or none.")
    ] = "matching",
    references: Annotated[
        str | None, typer.Option(help="Folder of published tables; default: those of vlft.")
    ] = None,
    samples: Annotated[
        str, typer.Option(help="Sample files: copy them beside the page, link to them, or none.")
    ] = "copy",
) -> None:
    """Rank results, MMEB reports and lmms-eval files: Markdown, CSV, JSON and one HTML page."""
    from vlft.cli.leaderboard import run

    run(places, out=out, published=published, references=references, samples=samples)


@app.command()
def predict(
    run_dir: Annotated[
        str, typer.Argument(metavar="RUN", help="Run directory, checkpoint, or hub:user/name.")
    ],
    prompt: Annotated[
        str, typer.Option(help="What to ask (for CLIP: texts split by '|'; classifiers need none).")
    ] = "",
    image: Annotated[list[str] | None, typer.Option(help="Image file; may be repeated.")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer in tokens.")] = 64,
) -> None:
    """Ask a run about images: an answer, for CLIP the similarity of texts, or the class."""
    from vlft.cli.predict import run

    run(run_dir, prompt, image or [], max_new_tokens=max_new_tokens)


@app.command()
def merge(
    run_dir: Annotated[
        str, typer.Argument(metavar="RUN", help="Run directory, checkpoint, or hub:user/name.")
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder to write; it must not exist.")],
    dtype: Annotated[
        str, typer.Option(help="Type of the written weights; auto: that of the run's host.")
    ] = "auto",
) -> None:
    """Fold a run's adapter into its host, check that both answer alike, and write a checkpoint."""
    from vlft.cli.merge import run

    run(run_dir, out, dtype=dtype)


@app.command("list")
def list_names(
    kind: Annotated[
        str, typer.Argument(help="What to list; without it, the kinds and their numbers.")
    ] = "",
) -> None:
    """List what exists: recipes, configs, adapters, benchmarks, launches, ..."""
    from vlft.cli.listing import run

    run(kind)


@app.command()
def env(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print versions and devices, for a bug report."""
    from vlft.cli.env import run

    run(as_json=as_json)
