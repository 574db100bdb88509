import pytest
import torch
from torch.nn.functional import layer_norm

from vlft.adapters.dehvf.hierarchy import read_hierarchy
from vlft.data.beside import image_tensors
from vlft.data.budget import host_images
from vlft.data.scenes.raster import render
from vlft.data.scenes.scene import World, draw_in
from vlft.errors import AdapterError


def pictures(count=2, side=48):
    world = World(seed=1, max_objects=4, grid=4, image_size=side)
    return [render(draw_in(world, index, min_objects=2)) for index in range(count)]


def tower_of(host):
    path = (
        host.sites["vision.block"]
        .replace("\\", "")
        .partition(".encoder")[0]
        .partition(".blocks")[0]
    )
    return host.model.get_submodule(path)


def test_groups_are_means_of_normed_hidden_states(pristine):
    tower = tower_of(pristine["tiny_llava"])
    pixels = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        hidden = tower(pixels, output_hidden_states=True).hidden_states
        states = read_hierarchy(
            tower, list(tower.encoder.layers), [[1, 2]], {"pixel_values": pixels}, num_patches=16
        )
    # entry 0 is the patch embedding, entry j follows block j
    normed = [layer_norm(state, (128,)) for state in hidden[1:]]
    expected = (normed[0] + normed[1]) / 2
    torch.testing.assert_close(states.summaries[:, 0], expected[:, 0])
    torch.testing.assert_close(states.patches[:, 0], expected[:, 1:])


@pytest.mark.parametrize(
    ("name", "patches"),
    [
        ("tiny_llava", 16), ("tiny_paligemma", 16), ("tiny_smolvlm", 64), ("tiny_qwen2_5_vl", 16),
        ("tiny_qwen2_vl", 16),
    ],
)  # fmt: skip
def test_every_tower_gives_one_row_per_image(pristine, name, patches):
    host = pristine[name]
    settings = host_images(host.model).fewest(host.processor)
    tensors = image_tensors(host.processor, pictures(3), settings)
    tower = tower_of(host)
    blocks = list(tower.blocks if "qwen" in name else tower.encoder.layers)
    with torch.no_grad():
        states = read_hierarchy(tower, blocks, [[1], [2]], tensors, num_patches=patches)
        alone = read_hierarchy(
            tower,
            blocks,
            [[1], [2]],
            image_tensors(host.processor, pictures(3)[1:2], settings),
            num_patches=patches,
        )
    assert states.patches.shape == (3, 2, patches, 128)
    assert states.summaries.shape == (3, 2, 128)
    torch.testing.assert_close(states.patches[1:2], alone.patches, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["tiny_qwen2_5_vl", "tiny_qwen2_vl"])
def test_packed_patches_come_back_to_their_places(pristine, name):
    """A tower whose blocks pass their input on shows where each patch of an image went."""
    host = pristine[name]
    tower = tower_of(host)
    image = pictures(1, 96)[0]
    black = image.point(lambda value: 0)
    black.paste((255, 255, 255), (72, 24, 96, 48))  # row 1, column 3 of a 4 x 4 grid
    tensors = image_tensors(host.processor, [black], {})
    seen = torch.nn.Identity()

    def look(block, args):
        seen(args[0])

    handle = tower.blocks[0].register_forward_pre_hook(look)
    try:
        with torch.no_grad():
            states = read_hierarchy(tower, [seen], [[1]], tensors, num_patches=16)
    finally:
        handle.remove()
    shown = states.patches[0, 0].view(4, 4, -1)
    different = (shown - shown[0, 0]).norm(dim=-1) > 1e-3
    assert different.nonzero().tolist() == [[1, 3]]


def test_another_resolution_is_refused(pristine):
    tower = tower_of(pristine["tiny_llava"])
    with pytest.raises(
        AdapterError, match="made for 9 patches of an image, and the tower makes 16"
    ):
        read_hierarchy(
            tower,
            list(tower.encoder.layers),
            [[1]],
            {"pixel_values": torch.zeros(1, 3, 48, 48)},
            num_patches=9,
        )


def test_an_unknown_tower_is_refused():
    from transformers import ViTConfig

    from vlft.adapters.dehvf.hierarchy import reader_of

    with pytest.raises(AdapterError) as error:
        reader_of(ViTConfig())
    assert "of this host, whose type is vit; it reads clip_vision_model, " in str(error.value)
    assert "Did you mean" not in str(error.value)
