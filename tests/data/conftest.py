"""Files and records for the data tests."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vlft.backbones.tokenizer import chat_tokenizer
from vlft.data.records import Conversation, ImageRef
from vlft.types import Message


@pytest.fixture
def write_jsonl(tmp_path: Path) -> Callable[..., Path]:
    """Write records, one JSON line each; text is written as it is."""

    def write(records: list[Any], name: str = "data.jsonl") -> Path:
        lines = [line if isinstance(line, str) else json.dumps(line) for line in records]
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_image(tmp_path: Path) -> Callable[..., Path]:
    """Write an image of one color below the test's folder."""

    def write(
        name: str = "a.png", *, size: tuple[int, int] = (60, 48), color: Any = (200, 30, 40)
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, color).save(path)
        return path

    return write


@pytest.fixture
def conversation() -> Callable[..., Conversation]:
    """Make a record: turns alternate between user and assistant, images come first."""

    def make(
        *turns: str,
        num_images: int = 0,
        size: tuple[int, int] = (60, 48),
        record_id: str = "r1",
    ) -> Conversation:
        roles = ("user", "assistant")
        messages = [Message(roles[i % 2], (text,)) for i, text in enumerate(turns)]
        messages[0] = Message("user", (*range(num_images), *messages[0].content))
        draw = partial(Image.new, "RGB", size, (200, 30, 40))
        images = tuple(ImageRef(draw=draw) for _ in range(num_images))
        return Conversation(record_id, tuple(messages), images)

    return make


@pytest.fixture(scope="session")
def qwen_processor() -> Any:
    """A processor whose number of image tokens follows the image's size: 28 pixels square each.

    Its hosts tell neighboring images apart by what stands between them.
    """
    from transformers import Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor

    tokenizer = chat_tokenizer()
    return Qwen2VLProcessor(
        Qwen2VLImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 280 * 280}),
        tokenizer,
        Qwen2VLVideoProcessor(),
        chat_template=tokenizer.chat_template.replace("'<image>'", "'[<image>]'"),
    )
