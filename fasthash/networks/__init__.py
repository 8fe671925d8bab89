"""Hash networks: a backbone to a feature vector, a head to bits."""

from fasthash.networks.backbones import SmallCNN, mlp_backbone
from fasthash.networks.build import NetworkConfig, build_network
from fasthash.networks.heads import HashNetwork, linear_head, mlp_head
from fasthash.networks.mobilenet import MobileNetV2

__all__ = [
    "HashNetwork",
    "MobileNetV2",
    "NetworkConfig",
    "SmallCNN",
    "build_network",
    "linear_head",
    "mlp_backbone",
    "mlp_head",
]
