"""Settings: what is not understood is refused, with its place and the nearest known names."""

import re
from pathlib import Path
from typing import Any

import pytest

from cotwin.experiment import lookup
from cotwin.experiment.load import dump, load, validate
from cotwin.experiment.presets import presets
from cotwin.experiment.read_settings import ConfigError
from cotwin.experiment.settings import Experiment
from cotwin.registry import network, sampler, simulator


@pytest.mark.parametrize("name", presets())
def test_resolved_settings_read_back_to_the_same(name: str, tmp_path: Path) -> None:
    overrides = ["data.path=some.npz"] if name == "burgers_shock" else []
    experiment = load(name, overrides)
    (tmp_path / "resolved.yaml").write_text(dump(experiment))
    assert load(str(tmp_path / "resolved.yaml")) == experiment


def test_overrides_change_what_they_name_and_nothing_else() -> None:
    changed = load("burgers", ["hybrid.cycles=20", "physical.viscosity.initial=0.06"])
    plain = load("burgers")
    assert (changed.hybrid.cycles, changed.physical.viscosity.initial) == (20, 0.06)  # type: ignore[union-attr]
    assert changed.synthetic == plain.synthetic
    assert changed.data == plain.data


def test_a_file_builds_on_a_preset_and_on_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("defaults: [burgers]\nhybrid: {cycles: 3}\n")
    (tmp_path / "mine.yaml").write_text("defaults: [base.yaml]\nname: mine\nsynthetic: {optimizer: {lr: 0.01}}\n")
    mine = load(str(tmp_path / "mine.yaml"))
    assert (mine.name, mine.hybrid.cycles, mine.synthetic.optimizer.lr) == ("mine", 3, 0.01)
    assert mine.physical == load("burgers").physical


def test_another_kind_does_not_inherit_the_settings_of_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "defaults: [burgers]\ndata: {kind: file, path: a.npz}\nsynthetic: {network: unet, levels: 2}\n"
    )
    mine = load(str(tmp_path / "mine.yaml"))
    assert mine.data.kind == "file"
    assert mine.synthetic.network == "unet"
    assert mine.synthetic.steps == load("burgers").synthetic.steps, "what all learners share stays"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hybrid.cycle=3", r"hybrid\.cycle: there is no such setting; did you mean cycles\?"),
        (
            "data.path=mine.npz",
            r"data\.path: there is no such setting; it belongs to data\.kind=file, and .* of kind",
        ),
        ("physical.viscocity.initial=1", r"physical\.viscocity: .* did you mean viscosity\?"),
        ("synthetic.optimizer.rl=1", r"synthetic\.optimizer\.rl: .* did you mean lr\?"),
        ("wibble=1", r"wibble: there is no such setting; known here: .*hybrid"),
        ("hybrid.cycles=0", r"hybrid\.cycles: .*greater than or equal to 1 \(given: 0\)"),
        ("synthetic.optimizer.lr=-1", r"synthetic\.optimizer\.lr: .*greater than 0 \(given: -1\)"),
        ("physical.viscosity.initial=0.9", r"physical\.viscosity: .*not strictly inside the bounds"),
        ("physical.model=navier", r"physical.model: there is no simulator .*did you mean navier_stokes"),
        ("hybrid.order=[physical,physical]", r"hybrid: order .*once"),
        ("physical.model=heat", r"physical\.diffusivity: is required"),
        ("hybrid.alpha={kind: fixed, value: .inf}", r"hybrid\.alpha\.value: .*finite"),
        ("synthetic.optimizer={kind: levenberg_marquardt}", r"synthetic: .*up to 300 unknowns.*choose muon or adam"),
        ("name=../x", r"name: .*pattern"),
        ("hybrid.alpha={kind: constant}", r"hybrid\.alpha\.kind: choose fixed .*\(given: 'constant'\)"),
        ("physical.viscosity=low", r"physical\.viscosity: is a block of settings, \{initial: …\} \(given: 'low'\)"),
        ("synthetic.optimizer=adam", r"synthetic\.optimizer: is a block of settings, \{kind: …\}"),
        ("cycles", r"not of the form key\.path=value"),
    ],
)
def test_mistakes_are_named_with_the_cure(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load("burgers", [override])


def test_a_kind_left_out_is_asked_for() -> None:
    physical = {"model": "heat", "diffusivity": {"initial": 1.0}, "optimizer": {"lr": 0.1}}
    with pytest.raises(
        ConfigError, match=r"physical\.optimizer\.kind: choose adam or muon or lbfgs or levenberg_marquardt"
    ):
        validate({"name": "mine", "data": {"kind": "file", "path": "mine.npz"}, "physical": physical})


def test_every_mistake_is_listed_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load("burgers", ["hybrid.cycle=3", "seed=-1", "store.memory_budget_gb=0"])
    assert all(part in str(caught.value) for part in ("hybrid.cycle", "seed", "store.memory_budget_gb"))


def test_an_unknown_experiment_lists_the_presets(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither a preset .*burgers"):
        load("burger")
    with pytest.raises(ConfigError, match="there is no file"):
        load(str(tmp_path / "absent.yaml"))


def test_a_path_left_open_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"data\.path=FILE"):
        load("burgers_shock")


def test_a_setting_may_name_another_wherever_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("defaults: [burgers]\nsynthetic: {steps: '${physical.steps}'}\n")
    (tmp_path / "mine.yaml").write_text("defaults: [base.yaml]\nphysical: {steps: 7}\nname: 'of_${hybrid.cycles}'\n")
    mine = load(str(tmp_path / "mine.yaml"), ["hybrid.cycles=3", "synthetic.warmup_steps=${synthetic.steps}"])
    assert (mine.synthetic.steps, mine.synthetic.warmup_steps, mine.name) == (7, 7, "of_3")


@pytest.mark.parametrize(
    "secret", ["${oc.env:TOKEN}", "x${ oc.env:TOKEN,none}", "${oc.${a}:TOKEN}", "${oc.decode:${oc.env:TOKEN}}"]
)
def test_secrets_stay_in_the_environment(secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "geheim")
    (tmp_path / "mine.yaml").write_text(f"defaults: [burgers]\na: env\ndevice: '{secret}'\n")
    for config, overrides in ((str(tmp_path / "mine.yaml"), []), ("burgers", [f"device={secret}"])):
        with pytest.raises(ConfigError, match=r"device is .*the environment is not read") as refused:
            load(config, overrides)
        assert "geheim" not in str(refused.value)


ALIASES = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold a mapping"),
        ("# nothing\n", "must hold a mapping"),
        ("- burgers\n", "must hold a mapping"),
        ("defaults: null\n", r"defaults is None; it is a list of names"),
        ("defaults: burgers\n", r"defaults is 'burgers'; it is a list"),
        ("defaults: [{a: b}]\n", r"it is a list of names"),
        ("defaults: [mine.yaml]\n", r"mine\.yaml builds on .*mine\.yaml; take one of these out"),
        ("defaults: [via.yaml]\n", r"mine\.yaml builds on .*via\.yaml builds on .*mine\.yaml"),
        ("defaults: [folder.yaml]\n", r"folder\.yaml cannot be read: Is a directory"),
        ("hybrid: {1: 2}\n", r"the key 1 is no name"),
        ("physical: [{true: 2}]\n", r"the key True is no name"),
        ("name: !!python/name:os.system x\n", r"mine\.yaml is not readable YAML: could not determine a constructor"),
        ("name: !secret x\n", "is not readable YAML"),
        ("name: 'a\n", "is not readable YAML"),
        ("name: a\nname: b\n", "is not readable YAML: .*duplicate"),
        ("t: " + "9" * 5000, "is not readable YAML"),
        ("t: " + "[" * 200 + "]" * 200, "nested deeper than 50"),
        ("t: " + "[" * 20000 + "]" * 20000, "nested too deeply"),
        (ALIASES, "more than 100000 values"),
        ("t: &t [*t]\n", "nested deeper than 50"),
        ("hybrid: {cycles: '${hybrid.cycles}'}\n", "names another that it cannot have"),
        ("hybrid: {cycles: '${wibble}'}\n", "names another that it cannot have: .*wibble"),
        ("name: '${'\n", "is not readable YAML"),
    ],
)
def test_what_is_no_configuration_is_said(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "via.yaml").write_text("defaults: [mine.yaml]\n")
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(str(tmp_path / "mine.yaml"))


def test_bytes_are_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match=r"no text in UTF-8 \(byte 6\)"):
        load(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    "override",
    [
        "a..b=1",
        "[0]=1",
        "a[0]=1",
        ".a=1",
        "a b=1",
        ".".join("a" * 999) + "=1",
        "a=[1",
        "a=!x 1",
        "a={1: 2}",
        "a=" + "[" * 9999,
    ],
)
def test_what_is_no_override_is_said(override: str) -> None:
    with pytest.raises(ConfigError, match="override"):
        load("burgers", [override])


BLOCKS_AND_NAMES = [*Experiment.model_fields, *simulator.names(), *network.names(), *sampler.names()]


@pytest.mark.parametrize("part", BLOCKS_AND_NAMES)
def test_every_whole_number_has_a_largest(part: str) -> None:
    if "phiflow" in part:
        pytest.importorskip("phi")
    assert not re.search(r"\bint\b(?! >=? -?\d+, <=? \d+)", lookup.part(part))


def test_what_the_data_decide_is_not_inherited_with_other_data(tmp_path: Path) -> None:
    """Substeps and speeds of a preset were made for its own data; whatever is stated for the new ones stands."""
    given = ["data={kind: file, path: mine.npz}"]

    def physical(config: str, *changes: str) -> dict[str, Any]:
        return load(config, changes).physical.model_dump()

    for preset, name, own in (("navier_stokes", "substeps", 10), ("burgers_2d", "max_speed", 3.0)):
        assert physical(preset)[name] == own
        assert physical(preset, *given)[name] is None
        assert physical(preset, f"physical.{name}=7", *given)[name] == 7
    # Nor is a default taken, which was made for no data at all.
    assert physical("korteweg_de_vries")["substeps"] == 4
    assert physical("korteweg_de_vries", *given)["substeps"] is None
    (tmp_path / "mine.yaml").write_text(
        "data: {kind: file, path: mine.npz}\n"
        "physical: {model: korteweg_de_vries, steepening: {initial: 1.0}, dispersion: {initial: 0.01}}\n"
    )
    assert physical(str(tmp_path / "mine.yaml"))["substeps"] is None
    assert physical(str(tmp_path / "mine.yaml"), "physical.substeps=5")["substeps"] == 5
    # A simulator that is exact takes none.
    (tmp_path / "mine.yaml").write_text(
        "data: {kind: file, path: mine.npz}\nphysical: {model: advection, velocity: [{initial: 1.0}]}\n"
    )
    assert "substeps" not in physical(str(tmp_path / "mine.yaml"))
