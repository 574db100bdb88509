"""How the images of training samples are varied."""

from pydantic import Field, model_validator

from vlft.recipe.section import Contradiction, Section


class Augmentation(Section):
    """Changes drawn anew for each sample and epoch, from the recipe's ``seed``."""

    min_crop_area: float = Field(1.0, gt=0, le=1)
    """Smallest share of an image that a random cut keeps (the largest is all of it). The cut is
    scaled to the image's size, its sides changed against each other by 3/4 to 4/3. 1: no cut."""
    flip: bool = False
    """Mirror half of the images. What a text says about left and right is wrong for those."""
    num_ops: int = Field(0, ge=0)
    """Operations that are drawn for each image as in RandAugment (arXiv 1909.13719), each of them
    done half of the time; none turns one color into another."""
    magnitude: float = Field(5.0, ge=0, le=10)
    """Their strength: at 10 shears by 0.3 and turns by 30 degrees; brightness and sharpness stay as
    they are at 5."""

    @model_validator(mode="after")
    def _changes_something(self) -> "Augmentation":
        if self.min_crop_area == 1 and not self.flip and not self.num_ops:
            raise Contradiction(
                "num_ops", "nothing is varied: set min_crop_area, flip or num_ops, or leave it out"
            )
        return self
