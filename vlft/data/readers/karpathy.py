"""Images with several captions each, as they are measured on: Karpathy's splits."""

from vlft.data.readers.captioned_images import CaptionedImages
from vlft.data.records import Pair
from vlft.recipe.data.benchmarks import Karpathy

TEST = "test"


class KarpathyDataset:
    """The images of one split, in the order of the file; without ``split`` it is ``test``.

    A record is a pair with the first caption, called by the image's official id;
    ``meta["answers"]`` has all of them.

    Args:
        section: The benchmark's section.

    Raises:
        DataError: The data cannot be opened, or have no image of the split.
    """

    def __init__(self, section: Karpathy) -> None:
        self.name = section.path
        self._images = CaptionedImages(section, split=TEST)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Pair:
        """Read one image with its captions.

        Raises:
            RecordError: The row lacks a field, names no image, has no caption, or is of another
                split.
        """
        found = self._images[index]
        meta = {"answers": found.captions, "file": found.file}
        return Pair(found.id, found.image, found.captions[0], meta)
