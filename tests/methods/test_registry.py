import dataclasses
import json
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from fasthash import methods
from fasthash.methods import registry


@pytest.fixture
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))


@dataclasses.dataclass(frozen=True)
class Foreign(methods.DPSH):
    extra: int = 1


def test_create_takes_what_config_json_holds():
    method = methods.create("pts3h", bits=12, perturbation={"noise": 0.1}, network={"widths": (8, 16)})
    assert method.network.widths == (8, 16)
    again = methods.create("pts3h", **json.loads(json.dumps(dataclasses.asdict(method))))
    assert again == method


def test_nested_options_start_from_what_the_method_has_by_default():
    plain, changed = methods.create("itq"), methods.create("itq", network={"dropout": 0.5})
    assert changed.network == dataclasses.replace(plain.network, dropout=0.5)
    assert changed.network.backbone == "identity"


def test_presets_are_a_start_that_options_overrule():
    method = methods.create("pts3h", preset="digits", bits=32, w_max=2.0)
    assert (method.bits, method.w_max, method.network.backbone) == (32, 2.0, "cnn")
    baseline = methods.create("dpsh", preset="digits", bits=32)
    for shared in dataclasses.fields(baseline):
        assert getattr(baseline, shared.name) == getattr(method, shared.name)
    with pytest.raises(ValueError, match=r"create: preset of dpsh must be one of \[.*'digits'.*\], got 'mnist'"):
        methods.create("dpsh", preset="mnist")


def test_errors_name_what_is_known():
    with pytest.raises(ValueError, match=r"create: name must be one of \[.*'dpsh', .*'pts3h'.*\], got 'csq'"):
        methods.create("csq")
    with pytest.raises(TypeError, match=r"create: dpsh has the options \['bits', .*got 'w_max'"):
        methods.create("dpsh", w_max=1.0)
    with pytest.raises(TypeError, match=r"create: dpsh\.perturbation has the options .*got 'blur'"):
        methods.create("dpsh", perturbation={"blur": 1})
    with pytest.raises(ValueError, match=r"create: pts3h\.sup must be one of 'dpsh', 'dsh', 'balanced', got 'csq'"):
        methods.create("pts3h", sup="csq")
    with pytest.raises(ValueError, match=r"create: pts3h\.graph_loss must be one of .* got 'hinge'"):
        methods.create("pts3h", graph_loss="hinge")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bits": "16"}, TypeError, r"\.bits must be a whole number, got '16'"),
        ({"bits": 16.0}, TypeError, r"\.bits must be a whole number, got 16\.0"),
        ({"bits": True}, TypeError, r"\.bits must be a whole number, got True"),
        ({"epochs": "many"}, TypeError, r"\.epochs must be a number, got 'many'"),
        ({"network": "cnn"}, TypeError, r"\.network must be a mapping, got 'cnn'"),
        ({"optimiser": []}, TypeError, r"\.optimiser must be a mapping, got \[\]"),
        ({"network": {"backbone": 3}}, TypeError, r"\.network\.backbone must be a text, got 3"),
        ({"network": {"widths": 64}}, TypeError, r"\.network\.widths must be a list, each a whole number, got 64"),
        (
            {"network": {"widths": "64"}},
            TypeError,
            r"\.network\.widths must be a list, each a whole number, got '64'",
        ),
        ({"network": {"widths": [64, "x"]}}, TypeError, r"\.network\.widths\[1\] must be a whole number, got 'x'"),
        ({"network": {"head": ["mlp"]}}, TypeError, r"\.network\.head must be one of 'linear', 'mlp', got"),
        ({"perturbation": {"flip": "no"}}, TypeError, r"\.perturbation\.flip must be true or false, got 'no'"),
        ({"batch_size": None}, TypeError, r"\.batch_size must be a whole number, got None"),
    ],
)
def test_values_of_another_kind(options, error, message):
    with pytest.raises(error, match=f"create: pts3h{message}"):
        methods.create("pts3h", **options)


def test_values_as_yaml_gives_them():
    """PyYAML reads 1e-4, which has no point, as a text."""
    method = methods.create("pts3h", optimiser={"lr": "1e-4"}, epochs=3, w_max=None, network={"straight_through": None})
    assert (method.optimiser.lr, method.epochs, method.w_max) == (1e-4, 3, None)
    assert methods.create("dpsh", network=method.network).network is method.network


def test_register_refuses_what_is_no_method_and_taken_names(own_registry):
    with pytest.raises(TypeError, match="register: 'x' must be a dataclass derived from Method"):
        methods.register("x")(dict)
    with pytest.raises(ValueError, match="register: 'dpsh' is taken by DPSH"):
        methods.register("dpsh")(Foreign)


def test_methods_of_other_packages_come_by_entry_point(own_registry, monkeypatch):
    entry = EntryPoint("foreign", f"{__name__}:Foreign", registry.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: Foreign)
    monkeypatch.setattr(registry, "entry_points", lambda **select: EntryPoints([entry]).select(**select))
    assert "foreign" in methods.available()
    assert methods.create("foreign", extra=3).extra == 3
    assert Foreign.name == "foreign"
