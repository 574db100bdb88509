"""Records without the bytes of their images: these are hashed once, and read again when wanted.

A data set of the Hub stores images in its rows; a whole benchmark of them does not fit in memory.
"""

from dataclasses import dataclass, replace
from hashlib import sha256

from PIL.Image import Image

from vlft.data.images import open_image
from vlft.data.records import Conversation, ImageRef, Ranking, Record, Records, images_of


@dataclass(frozen=True)
class Reread:
    """Decodes an image of a record that is read anew.

    Attributes:
        records: The data set.
        index: Place of the record.
        number: Which of its images.
        max_pixels: A larger image is refused before it is decoded (width times height).
    """

    records: Records
    index: int
    number: int
    max_pixels: int

    def __call__(self) -> Image:
        """Decode the image.

        Raises:
            RecordError: It is bad, or too large.
        """
        record = self.records[self.index]
        ref = replace(images_of(record)[self.number], box=None)
        return open_image(
            ref, dataset=self.records.name, record_id=record.id, max_pixels=self.max_pixels
        )


def light_record(records: Records, index: int, *, max_pixels: int) -> Record:
    """Read a record and leave the bytes of its images behind.

    Raises:
        RecordError: The record does not have the declared form.
    """
    record = records[index]
    if isinstance(record, Ranking):
        return record  # its images are files, and its candidates are shared already
    if all(ref.data is None for ref in images_of(record)):
        return record
    refs = tuple(
        _light(ref, Reread(records, index, number, max_pixels))
        for number, ref in enumerate(images_of(record))
    )
    if isinstance(record, Conversation):
        return replace(record, images=refs)
    return replace(record, image=refs[0])


def _light(ref: ImageRef, reread: Reread) -> ImageRef:
    if ref.data is None:
        return ref
    return ImageRef(draw=reread, box=ref.box, content=f"sha256:{sha256(ref.data).hexdigest()}")
