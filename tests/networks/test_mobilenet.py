import os
from pathlib import Path

import numpy as np
import pytest
import torch

from fasthash.networks import MobileNetV2, NetworkConfig, build_network
from fasthash.networks.mobilenet import SameConv


def same_by_hand(x, kernel, stride):
    """'SAME' as TensorFlow defines it, one output at a time: ceil(side / stride) places, the odd pad behind."""
    height, width, size = len(x), len(x[0]), len(kernel)
    before = [max((-(-side // stride) - 1) * stride + size - side, 0) // 2 for side in (height, width)]
    return [
        [
            sum(
                kernel[a][b] * x[row * stride + a - before[0]][column * stride + b - before[1]]
                for a in range(size)
                for b in range(size)
                if 0 <= row * stride + a - before[0] < height and 0 <= column * stride + b - before[1] < width
            )
            for column in range(-(-width // stride))
        ]
        for row in range(-(-height // stride))
    ]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("side", [(4, 4), (5, 5), (4, 7), (1, 2)])
def test_same_padding(side, kernel, stride):
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(side, generator=generator), torch.randn(kernel, kernel, generator=generator)
    layer = SameConv(1, 1, kernel, stride=stride)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.zero_()
        found = layer(x[None, None])[0, 0]
    np.testing.assert_allclose(found, same_by_hand(x.tolist(), weight.tolist(), stride), atol=1e-5)


def test_an_even_side_is_padded_right_and_bottom_only():
    layer = SameConv(1, 1, 3, stride=2)
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.bias.zero_()
        assert layer(torch.ones(1, 1, 4, 4))[0, 0].tolist() == [[9, 6], [6, 4]]
        assert layer(torch.ones(1, 1, 5, 5))[0, 0].tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]


def test_structure_of_the_papers_table():
    network = MobileNetV2(size=None)
    convolutions = [module for module in network.modules() if isinstance(module, SameConv)]
    assert len(convolutions) == 52
    assert sum(p.numel() for p in network.parameters()) == 2_189_760 + 17_056  # weights and biases
    strided = [number for number, layer in enumerate(convolutions) if layer.stride == (2, 2)]
    assert strided == [0, 4, 10, 19, 40]
    depthwise = [layer for layer in convolutions if layer.groups > 1]
    assert len(depthwise) == 17
    assert all(layer.groups == layer.in_channels == layer.out_channels for layer in depthwise)
    projections = [block.layers[-1].out_channels for block in network.blocks]
    assert projections == [16] + [24] * 2 + [32] * 3 + [64] * 4 + [96] * 3 + [160] * 3 + [320]
    assert sum(block.residual for block in network.blocks) == 10
    x = torch.rand(1, 3, 224, 224)
    assert network.blocks(network.stem(x)).shape == (1, 320, 7, 7)


def test_images_are_scaled_to_the_size_and_each_alone():
    network = MobileNetV2(size=64).eval()
    x = torch.rand(3, 3, 32, 32)
    scaled = torch.nn.functional.interpolate(x, (64, 64), mode="bilinear", align_corners=False)
    with torch.no_grad():
        assert torch.equal(network(x), network(scaled))
        assert torch.allclose(network(x)[1:2], network(x[1:2]), atol=1e-6)


def arrays_of(network):
    convolutions = [module for module in network.modules() if isinstance(module, SameConv)]
    return {
        f"{number:02d}.{name}": parameter.detach().numpy()
        for number, layer in enumerate(convolutions)
        for name, parameter in layer.named_parameters()
    }


def test_arrays_are_taken_or_nothing_is(tmp_path):
    torch.manual_seed(0)
    source, path = MobileNetV2(), tmp_path / "weights.npz"
    arrays = arrays_of(source)
    np.savez(path, **arrays, **{"52.weight": np.zeros((5, 1280, 1, 1))})
    network = build_network(NetworkConfig("mobilenet_v2", weights=str(path)), (3, 32, 32), 8)
    for one, other in zip(source.parameters(), network.backbone.parameters(), strict=True):
        assert torch.equal(one, other)
    for changed, got in (({"51.bias": np.zeros(3)}, r"\(3,\)"), ({"51.bias": None}, "nothing")):
        np.savez(path, **{key: value for key, value in {**arrays, **changed}.items() if value is not None})
        target = MobileNetV2()
        before = target.stem[0].weight.clone()
        with pytest.raises(ValueError, match=rf"MobileNetV2\.load_arrays: 51\.bias of .* \(1280,\), got {got}"):
            target.load_arrays(path)
        assert torch.equal(target.stem[0].weight, before)
    with pytest.raises(FileNotFoundError):
        MobileNetV2().load_arrays(tmp_path / "nowhere.npz")


def test_features_of_real_images_are_the_shared_ones():
    folder = Path(os.environ.get("FASTHASH_DATA", "data"))
    image, features, weights = (
        folder / name
        for name in ("cifar10/images_00.webp", "features/cifar10_mobilenetv2.npz", "weights/mobilenet_v2.npz")
    )
    for path in (image, features, weights):
        if not path.exists():
            pytest.skip(f"{path} is not there; FASTHASH_DATA names another folder")
    from PIL import Image

    mosaic = np.asarray(Image.open(image).convert("RGB"))
    images = mosaic.reshape(50, 32, 50, 32, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, 32, 32)[:8]
    network = build_network(NetworkConfig("mobilenet_v2", weights=str(weights)), (3, 32, 32), 8).eval()
    with torch.no_grad():
        found = network.features(torch.from_numpy(images.copy()).float() / 255)
    with np.load(features) as stored:
        expected = torch.from_numpy(stored["features"][:8]).float() * 6 / 255
    assert (found.clamp(max=6) - expected).abs().max() < 0.5 * 6 / 255 + 1e-3
