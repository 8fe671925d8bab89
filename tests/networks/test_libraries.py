"""Backbones of torchvision and timm, where these are installed."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from fasthash.networks import NetworkConfig, build_network
from fasthash.networks.freezing import backbone_units
from fasthash.networks.libraries import ImageBackbone

SHAPE = (3, 32, 32)


@pytest.fixture
def vision():
    return pytest.importorskip("torchvision", reason="torchvision is not installed").models


@pytest.fixture
def timm():
    return pytest.importorskip("timm", reason="timm is not installed")


def test_images_are_scaled_and_normalised():
    backbone = ImageBackbone(torch.nn.Flatten(), size=4, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 2.0))
    found = backbone(torch.ones(2, 3, 2, 2)).reshape(2, 3, 4, 4)
    assert torch.equal(found, torch.tensor([1.0, 1.0, 0.0])[:, None, None].expand(2, 3, 4, 4))
    assert not backbone.state_dict()
    same = ImageBackbone(torch.nn.Flatten(), size=None, mean=(0.0,) * 3, std=(1.0,) * 3)
    x = torch.rand(2, 3, 5, 7)
    assert torch.equal(same(x), x.flatten(1))


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 512), ("alexnet", 4096), ("mobilenet_v3_small", 1024), ("densenet121", 1024), ("convnext_tiny", 768)],
)
def test_torchvision_up_to_its_last_linear_layer(vision, name, size):
    config = NetworkConfig(f"torchvision/{name}", image_size=64, trainable="last:1")
    network = build_network(config, SHAPE, 12)
    assert network.feature_size == size
    assert network(torch.rand(2, *SHAPE)).shape == (2, 12)
    trained = [parameter for parameter in network.backbone.parameters() if parameter.requires_grad]
    assert 0 < len(trained) < len(list(network.backbone.parameters()))


def test_features_are_what_the_classifier_takes(vision, tmp_path):
    torch.manual_seed(0)
    model = vision.get_model("resnet18", weights=None).eval()
    torch.save(model.state_dict(), tmp_path / "model.pth")
    config = NetworkConfig("torchvision/resnet18", weights=str(tmp_path / "model.pth"), image_size=64)
    network = build_network(config, SHAPE, 12).eval()
    x = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        torch.testing.assert_close(model.fc(network.features(x)), model((x - mean) / std))
    trunk = {key: value for key, value in model.state_dict().items() if not key.startswith("fc.")}
    save_file(trunk, tmp_path / "trunk.safetensors")
    config = NetworkConfig("torchvision/resnet18", weights=str(tmp_path / "trunk.safetensors"), image_size=64)
    with torch.no_grad():
        assert torch.equal(build_network(config, SHAPE, 12).eval().features(x), network.features(x))


def test_residual_blocks_are_units_and_frozen_statistics_stay(vision):
    network = build_network(NetworkConfig("torchvision/resnet18", image_size=None, trainable="last:2"), SHAPE, 12)
    weighted = [unit for unit in backbone_units(network.backbone) if list(unit.parameters())]
    assert [type(unit).__name__ for unit in weighted] == ["Conv2d", "BatchNorm2d"] + ["BasicBlock"] * 8
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network.train()(torch.rand(4, *SHAPE))
    moved = {name.split(".")[2] for name, buffer in network.named_buffers() if not torch.equal(buffer, before[name])}
    assert moved == {"layer4"}


def test_timm_without_its_classifier(timm, tmp_path):
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", pretrained=False).eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    config = NetworkConfig("timm/resnet10t", weights=str(tmp_path / "model.safetensors"), image_size=64)
    network = build_network(config, SHAPE, 12).eval()
    x = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        torch.testing.assert_close(model.get_classifier()(network.features(x)), model((x - mean) / std))
    with pytest.raises(ValueError, match=r"timm_backbone: name must be one of .* got 'resnet9000'"):
        build_network(NetworkConfig("timm/resnet9000"), SHAPE, 12)


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
def test_unknown_and_unfit_models(vision):
    with pytest.raises(ValueError, match=r"torchvision_backbone: name must be one of .*'resnet18'.* got 'resnet9000'"):
        build_network(NetworkConfig("torchvision/resnet9000"), SHAPE, 12)
    for name in ("squeezenet1_0", "googlenet"):
        with pytest.raises(ValueError, match=f"name must be of a model that ends in one linear layer, got '{name}'"):
            build_network(NetworkConfig(f"torchvision/{name}"), SHAPE, 12)


@pytest.mark.parametrize(
    ("backbone", "cure"), [("torchvision/resnet18", r"fasthash\[vision\]"), ("timm/resnet10t", "timm")]
)
def test_a_missing_library_says_how_to_get_it(backbone, cure, monkeypatch):
    monkeypatch.setitem(sys.modules, backbone.partition("/")[0], None)
    with pytest.raises(ImportError, match=f"_backbone: needs .*; pip install '?{cure}"):
        build_network(NetworkConfig(backbone), SHAPE, 12)
