"""``vlft predict``: one question, or one comparison, without writing code."""

from pathlib import Path


def run(run_dir: str, prompt: str, images: list[str], *, max_new_tokens: int) -> None:
    """Print the answer of a generative run, or the texts ranked by a contrastive one.

    Raises:
        RecordError: An image cannot be read.
        EvaluationError: The run can do neither.
    """
    from vlft import hub
    from vlft.data.images import open_image
    from vlft.data.records import ImageRef
    from vlft.errors import EvaluationError
    from vlft.evaluation.capabilities import capabilities_of
    from vlft.types import Embeds, Generates, Message, Prompt

    refs = [ImageRef(path=Path(i).absolute(), root=Path(Path(i).absolute().anchor)) for i in images]
    opened = [
        open_image(ref, dataset="--image", record_id=name)
        for ref, name in zip(refs, images, strict=True)
    ]
    model = capabilities_of(hub.load(run_dir))
    if isinstance(model, Generates):
        content = (*range(len(opened)), prompt)
        asked = Prompt((Message("user", content),), tuple(opened))
        print(model.generate([asked], max_new_tokens=max_new_tokens)[0])
    elif isinstance(model, Embeds):
        texts = [text.strip() for text in prompt.split("|")]
        if not opened:
            raise EvaluationError(
                "--image: a contrastive host compares texts with an image; give one"
            )
        similarity = model.embed_images(opened) @ model.embed_texts(texts).T
        for name, row in zip(images, similarity.tolist(), strict=True):
            for value, text in sorted(zip(row, texts, strict=True), reverse=True):
                print(f"{name}\t{value:.4f}\t{text}")
    else:
        raise EvaluationError(f"{run_dir} neither answers nor embeds; `vlft eval` can measure it")
