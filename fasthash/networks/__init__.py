"""Hash networks: a backbone to a feature vector, a head to logits, a relaxation to what the losses see."""

from fasthash.networks.backbones import SmallCNN, mlp_backbone
from fasthash.networks.build import NetworkConfig, build_network
from fasthash.networks.freezing import freeze
from fasthash.networks.group import GroupHead, OfLength
from fasthash.networks.heads import HashNetwork, linear_head, mlp_head, relax
from fasthash.networks.mobilenet import MobileNetV2
from fasthash.networks.modal import ModalNetwork, build_modal_network
from fasthash.networks.weights import load_weights

__all__ = [
    "GroupHead",
    "HashNetwork",
    "MobileNetV2",
    "ModalNetwork",
    "NetworkConfig",
    "OfLength",
    "SmallCNN",
    "build_modal_network",
    "build_network",
    "freeze",
    "linear_head",
    "load_weights",
    "mlp_backbone",
    "mlp_head",
    "relax",
]
