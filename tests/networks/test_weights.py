import pickle

import pytest
import torch
from safetensors.torch import save_file

from fasthash.networks import NetworkConfig, build_network, load_weights


def module():
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_a_state_dict_from_a_file(kind, tmp_path):
    source, target = module(), module()
    path = tmp_path / f"weights.{kind}"
    (save_file if kind == "safetensors" else torch.save)({**source.state_dict(), "fc.weight": torch.ones(2)}, path)
    load_weights(target, path, ignored="fc.")
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value)
    with pytest.raises(ValueError, match=r"load_weights: .* must hold 'fc.weight' with shape none, got \(2,\)"):
        load_weights(target, path)


def test_the_backbone_of_a_network_takes_them(tmp_path):
    config = NetworkConfig("cnn", (8,), trainable="head")
    source = build_network(config, (1, 8, 8), 12)
    torch.save(source.backbone.state_dict(), tmp_path / "weights.pt")
    loaded = build_network(NetworkConfig("cnn", (8,), weights=str(tmp_path / "weights.pt")), (1, 8, 8), 12)
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(loaded.features(x), source.features(x))
    again = build_network(NetworkConfig("cnn", (8,), weights="nowhere.pt"), (1, 8, 8), 12, pretrained=False)
    assert not torch.equal(again.features(x), source.features(x))


def test_files_that_do_not_fit_change_nothing(tmp_path):
    path, target = tmp_path / "weights.pt", module()
    before = target[0].weight.clone()
    good = module().state_dict()
    for wrong, message in (
        ({**good, "0.bias": torch.zeros(2)}, r"must hold '0.bias' with shape \(3,\), got \(2,\)"),
        ({key: value for key, value in good.items() if key != "1.weight"}, r"'1.weight' with shape \(3,\), got none"),
        ({"model": good}, "must hold a state dict"),
        (torch.zeros(3), "must hold a state dict"),
    ):
        torch.save(wrong, path)
        with pytest.raises(ValueError, match=message):
            load_weights(target, path)
    assert torch.equal(target[0].weight, before)
    with pytest.raises(FileNotFoundError, match=r"load_weights: path must be a local file, got 'nowhere.pt'"):
        load_weights(target, "nowhere.pt")


class Trap:
    def __reduce__(self):
        return print, ("the file's code ran",)


def test_no_code_of_a_file_runs(tmp_path, capsys):
    path = tmp_path / "weights.pt"
    torch.save({"0.weight": Trap()}, path)
    with pytest.raises(ValueError, match=r"load_weights: .* must hold tensors only"):
        load_weights(module(), path)
    path.write_bytes(pickle.dumps(Trap(), protocol=2))
    with pytest.raises(ValueError, match=r"load_weights: .* must hold tensors only"):
        load_weights(module(), path)
    torch.save({"0.weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"load_weights: .* must hold tensors only"):
        load_weights(module(), path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"load_weights: .* must hold tensors only"):
        load_weights(module(), path)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"not one")
    with pytest.raises(ValueError, match=r"load_weights: .* must be a whole .safetensors file"):
        load_weights(module(), path)
    assert capsys.readouterr().out == ""
