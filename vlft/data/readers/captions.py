"""Captions to learn to write: each caption of an image is a record of its own."""

from collections.abc import Iterator
from itertools import accumulate

import numpy as np

from vlft.data.cleaning import clean_caption
from vlft.data.readers.captioned_images import CaptionedImages
from vlft.data.records import Conversation
from vlft.recipe.data import Captions
from vlft.types import Message

TRAIN = "train"


class CaptionsDataset:
    """The captions of one split or several, image by image; without ``split`` it is ``train``.

    A record is the image with the section's prompt, and one of its captions as the answer;
    ``meta["answers"]`` has all of them as people wrote them.

    Args:
        section: The recipe's section.

    Raises:
        DataError: The data cannot be opened, or have no image of a split.
    """

    def __init__(self, section: Captions) -> None:
        self.name = section.path
        self._section = section
        self._images = CaptionedImages(section, split=TRAIN)
        self._ends = np.fromiter(self._count(), dtype=np.int64)

    def _count(self) -> Iterator[int]:
        """Number the captions up to the end of each image, as far as they are used."""
        limit = self._section.limit
        for end in accumulate(self._images.num_captions()):
            yield end
            if limit is not None and end >= limit:
                return

    def __len__(self) -> int:
        size = int(self._ends[-1]) if len(self._ends) else 0
        return size if self._section.limit is None else min(size, self._section.limit)

    def __getitem__(self, index: int) -> Conversation:
        """Read one caption with its image.

        Raises:
            RecordError: The row lacks a field, names no image, is of another split, or a caption
                has no words.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        at = int(np.searchsorted(self._ends, index, side="right"))
        found = self._images[at]
        number = index - int(self._ends[at - 1]) if at else index
        several = len(found.captions) > 1
        field = f"{found.field}[{number}]" if several else found.field
        text = found.captions[number]
        if self._section.clean:
            text = clean_caption(text)
        if not text:
            expected = "a caption with words; correct it, or take it out of the data"
            raise found.place.wrong(field, found.captions[number], expected)
        return Conversation(
            id=f"{found.place.record_id}.{field}" if several else found.place.record_id,
            messages=(
                Message("user", (0, self._section.prompt)),
                Message("assistant", (text,)),
            ),
            images=(found.image,),
            meta={"answers": found.captions, "file": found.file},
        )
