"""``vlft predict``: one question, or one comparison, without writing code."""

from pathlib import Path

MOST_CLASSES = 5
"""Most classes that are printed of an image."""


def run(run_dir: str, prompt: str, images: list[str], *, max_new_tokens: int) -> None:
    """Print the answer of a generative run, texts ranked by a contrastive one, or likely classes.

    Raises:
        RecordError: An image cannot be read.
        EvaluationError: What the run needs for it is not given.
    """
    from vlft import hub
    from vlft.data.images import open_image
    from vlft.data.records import ImageRef
    from vlft.errors import EvaluationError
    from vlft.evaluation.capabilities import capabilities_of
    from vlft.types import Classifies, Embeds, Generates, Message, Prompt

    refs = [ImageRef(path=Path(i).absolute(), root=Path(Path(i).absolute().anchor)) for i in images]
    opened = [
        open_image(ref, dataset="--image", record_id=name)
        for ref, name in zip(refs, images, strict=True)
    ]
    model = capabilities_of(hub.load(run_dir))
    if isinstance(model, Classifies):
        if not opened:
            raise EvaluationError("--image: a classifier needs an image; give one")
        shown = min(MOST_CLASSES, len(model.classes))
        for name, row in zip(images, model.classify(opened).softmax(dim=-1), strict=True):
            for value, index in zip(*(part.tolist() for part in row.topk(shown)), strict=True):
                print(f"{name}\t{value:.4f}\t{model.classes[index]}")
        return
    if not prompt:
        raise EvaluationError("--prompt: say what to ask, or the texts to compare, split by '|'")
    if isinstance(model, Generates):
        content = (*range(len(opened)), prompt)
        asked = Prompt((Message("user", content),), tuple(opened))
        print(model.generate([asked], max_new_tokens=max_new_tokens)[0])
    else:
        assert isinstance(model, Embeds)
        texts = [text.strip() for text in prompt.split("|")]
        if not opened:
            raise EvaluationError(
                "--image: a contrastive host compares texts with an image; give one"
            )
        similarity = model.embed_images(opened) @ model.embed_texts(texts).T
        for name, row in zip(images, similarity.tolist(), strict=True):
            for value, text in sorted(zip(row, texts, strict=True), reverse=True):
                print(f"{name}\t{value:.4f}\t{text}")
