"""The documents under `specs/`: each is of its model, they agree, and a mistake names its line."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.research.events.spec import EventRegistry
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.storage.spec_checks import check_documents, disagreements
from quantlab_pipeline.storage.spec_errors import nearest, split_unit
from quantlab_pipeline.storage.spec_files import Project, load_spec
from quantlab_pipeline.worlds.spec import Scenario
from quantlab_pipeline_tests import spec_schemas

DOCUMENTS = sorted(spec_schemas.SPECS.rglob("*.yaml"))


class Inner(Spec):
    cooldown_min: int
    mode: str = "plain"


class Outer(Spec):
    name: str
    rate: float
    parts: tuple[Inner, ...] = ()
    table: dict[str, Inner] = {}


def load(tmp_path: Path, text: str, model: type[Spec] = Outer) -> Spec:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    return load_spec(path, model, "specs/x.yaml")


def refusal(tmp_path: Path, text: str, model: type[Spec] = Outer) -> str:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, text, model)
    return str(caught.value)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    shutil.copytree(spec_schemas.SPECS, tmp_path / "specs")
    return Project(tmp_path)


def edit(project: Project, name: str, old: str, new: str) -> None:
    path = project.specs / f"{name}.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{name} no longer says {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


# --- the shipped documents ---------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.stem)
def test_every_document_is_of_its_model(path: Path) -> None:
    spec = load_spec(path, spec_schemas.MODELS[spec_schemas.kind_of(path)])
    assert spec.spec_hash().startswith("sha256:")


@pytest.mark.parametrize("kind", sorted(spec_schemas.MODELS))
def test_json_schemas_are_current(kind: str) -> None:
    path = spec_schemas.SCHEMAS / f"{kind}.schema.json"
    assert path.is_file(), "run make schemas"
    assert path.read_text(encoding="utf-8") == spec_schemas.schema_text(kind), "run make schemas"


def test_the_documents_agree() -> None:
    assert list(disagreements(Project())) == []


def test_generated_markets_match_their_scenarios() -> None:
    project = Project()
    generated = [m for m in project.markets() if m.synthetic]
    assert generated
    for market in generated:
        listed = project.instruments().by_symbol(market.symbols)
        scenario = project.scenario(str(market.source.scenario), Scenario)
        assert [s.symbol for s in scenario.symbols] == list(market.symbols)
        for symbol in scenario.symbols:
            assert listed[symbol.symbol].tick_size == symbol.tick_size
            assert listed[symbol.symbol].lot_size == symbol.lot_size
        assert (scenario.first_day, scenario.last_day) == (market.first_day, market.last_day)


def test_every_real_symbol_is_a_listed_instrument() -> None:
    project = Project()
    listed = project.instruments()
    for market in project.markets():
        if not market.synthetic:
            assert list(listed.by_symbol(market.symbols)) == list(market.symbols)


def test_the_registry_is_of_the_promised_size_and_families() -> None:
    types = Project().events().event_types
    assert 18 <= len(types) <= 30
    assert len({t.family for t in types}) == 5


# --- mistakes ----------------------------------------------------------------------------------


def test_unknown_key_names_file_line_and_nearest_key(tmp_path: Path) -> None:
    said = refusal(tmp_path, "name: a\nrate: 1\nparts:\n  - cooldwn_min: 3\n")
    assert said == (
        "specs/x.yaml:4: unknown key `cooldwn_min`. Did you mean `cooldown_min`?"
    )  # and not a second time as a missing key


def test_wrong_unit_is_called_so(tmp_path: Path) -> None:
    said = refusal(tmp_path, "name: a\nrate: 1\nparts:\n  - {mode: x, cooldown_s: 180}\n")
    assert "specs/x.yaml:4: unknown key `cooldown_s`." in said
    assert "Wrong unit: did you mean `cooldown_min` (minutes)?" in said


def test_unknown_key_in_a_mapping_of_models(tmp_path: Path) -> None:
    text = "name: a\nrate: 1\ntable:\n  first:\n    cooldown_min: 1\n    moode: x\n"
    assert refusal(tmp_path, text) == "specs/x.yaml:6: unknown key `moode`. Did you mean `mode`?"


def test_unlike_anything_lists_the_valid_keys(tmp_path: Path) -> None:
    said = refusal(tmp_path, "name: a\nrate: 1\nzzz: 2\n")
    assert "specs/x.yaml:3" in said
    assert "Valid keys here: name, rate, parts, table." in said


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, "name: a\nrate: 1\nname: b\n")
    assert said.startswith("specs/x.yaml:3: key `name` is given twice (first on line 1).")


def test_a_key_given_twice_deep_inside_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, "name: a\nrate: 1\nparts:\n- cooldown_min: 1\n  cooldown_min: 2\n")
    assert said.startswith("specs/x.yaml:5: key `cooldown_min` is given twice (first on line 4).")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name: a\n", 1, "key `rate` is missing"),
        ("name: a\nrate: fast\n", 2, "`rate`: input should be a valid number"),
        ("name: a\nrate: 1\nparts:\n  - {}\n", 4, "key `cooldown_min` is missing"),
        ("name: a\nrate: 1\nparts:\n  -\n    cooldown_min: 1.5\n", 5, "parts.0.cooldown_min"),
        ("name: a\n rate: 1\n", 2, "not YAML"),
        ("name: [a\nrate: 1\n", 2, "not YAML"),
        ("- name\n", 1, "the top level must be a mapping"),
        ("", 1, "the top level must be a mapping"),
        ("name: a\nrate: &r [*r]\n", 2, "holds itself"),
        ("name: a\nrate: !!python/object:os.system x\n", 2, "not YAML"),
    ],
)
def test_mistakes_name_their_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    said = refusal(tmp_path, text)
    assert said.startswith(f"specs/x.yaml:{line}: ")
    assert words in said


def test_several_mistakes_are_counted(tmp_path: Path) -> None:
    said = refusal(tmp_path, "name: a\nrate: fast\nnope_at_all: 1\n")
    assert said.startswith("specs/x.yaml:2")
    assert "Also line 3: unknown key `nope_at_all`." in said


def test_missing_file_and_wrong_encoding(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"specs/none.yaml does not exist"):
        load_spec(tmp_path / "none.yaml", Outer, "specs/none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(SpecError, match="not UTF-8"):
        load_spec(tmp_path / "latin.yaml", Outer)


def test_yaml_words_stay_words(tmp_path: Path) -> None:
    spec = load(tmp_path, "name: on\nrate: 1e-3\nparts:\n  - {cooldown_min: 1_000, mode: no}\n")
    assert isinstance(spec, Outer)
    assert (spec.name, spec.rate) == ("on", 0.001)
    assert (spec.parts[0].cooldown_min, spec.parts[0].mode) == (1000, "no")


def test_an_event_that_reads_an_unknown_feature(project: Project) -> None:
    first = project.events().event_types[0]
    column = first.required_fields[0]
    path = project.specs / "event_registry.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(column, f"{column}x"), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        check_documents(project)
    said = str(caught.value)
    line = int(said.split(":")[1])
    assert said.startswith("specs/event_registry.yaml:")
    assert f"{column}x" in path.read_text(encoding="utf-8").splitlines()[line - 1]
    assert f"Did you mean `{column}`?" in said


def refused_document(project: Project) -> tuple[str, str]:
    """The first disagreement's message, and the line of the document that it points at."""
    with pytest.raises(SpecError) as caught:
        check_documents(project)
    shown, line, _ = str(caught.value).split(":", 2)
    text = (project.root / shown).read_text(encoding="utf-8").splitlines()
    return str(caught.value), text[int(line) - 1]


def test_an_event_that_mixes_units(project: Project) -> None:
    edit(project, "event_registry", "ret_5m_bps >= 9 * rv_1d_bps", "ret_5m_bps >= 9 * depth_usd")
    edit(
        project,
        "event_registry",
        "severity: ret_5m_bps / max(9 * rv_1d_bps, 0.01)\n    cooldown_min: 60\n"
        "    required_fields: [ret_5m_bps, rv_1d_bps]",
        "severity: ret_5m_bps\n    cooldown_min: 60\n    required_fields: [depth_usd, ret_5m_bps]",
    )
    said, line = refused_document(project)
    assert "compares `ret_5m_bps` in bps and `9 * depth_usd` in USD" in said
    assert line.strip() == "- name: up_shock"


def test_a_regime_with_edges_from_nowhere(project: Project) -> None:
    edit(project, "event_registry", "feature: rv_1h_rank_7d", "feature: rv_1h_bps")
    said, line = refused_document(project)
    assert "constant edges on 'rv_1h_bps'" in said
    assert line.strip() == "vol_regime:"


def test_a_bucket_of_a_label_that_its_regime_never_gives(project: Project) -> None:
    old = "at: [0.3333333333333333, 0.6666666666666666]}\n    labels: [low, mid, high]"
    edit(project, "event_registry", old, "at: [0.5]}\n    labels: [low, mid]")
    said, line = refused_document(project)
    assert "no such name among the labels of vol_regime: `high`" in said
    assert "name: vol_high" in line


def test_a_family_that_reads_an_unknown_feature(project: Project) -> None:
    edit(project, "candidate_family", "feature: ret_1h_bps", "feature: ret_1h_bp")
    with pytest.raises(SpecError, match=r"candidate_family.yaml:\d+: .*`ret_1h_bp`.*`ret_1h_bps`"):
        check_documents(project)


def test_a_study_outside_its_market(project: Project) -> None:
    edit(project, "studies/smoke", "last_day: 2025-03-07", "last_day: 2025-03-09")
    edit(project, "studies/damaged", "BBBUSDT", "BBUSDT")
    said = [str(e) for e in disagreements(project)]
    assert len(said) == 2
    assert "specs/studies/damaged.yaml:5: " in said[0]
    assert "Did you mean `BBBUSDT`?" in said[0]
    assert "specs/studies/smoke.yaml:7: `last_day` 2025-03-09 lies outside market" in said[1]


def test_unknown_names_are_answered_with_the_nearest(project: Project) -> None:
    with pytest.raises(SpecError, match="Did you mean `world_smoke`"):
        project.market("world_smok")
    with pytest.raises(SpecError, match="Did you mean `planted_edges`"):
        project.study("planted_edge")
    with pytest.raises(SpecError, match="Did you mean `smoke`"):
        project.scenario("smokee", Scenario)


def test_a_document_must_bear_its_file_name(project: Project) -> None:
    edit(project, "markets/world_smoke", "name: world_smoke", "name: world_other")
    with pytest.raises(SpecError, match=r"world_smoke.yaml:3: `name` is 'world_other'"):
        project.market("world_smoke")


def test_a_project_without_specs_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no specs folder"):
        Project(tmp_path).gates()
    with pytest.raises(SpecError, match="no specs folder"):
        Project(tmp_path).market("any")


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("scenarios/smoke", "family: vol_cluster", "family: vol_clstr", "`vol_cluster`?"),
        ("scenarios/smoke", "alpha:", "alhpa:", "unknown key `alhpa`. Did you mean `alpha`?"),
        (
            "scenarios/smoke",
            "sigma_bps: 4.0",
            "sigma_pct: 4.0",
            "Wrong unit: did you mean `sigma_bps`",
        ),
        ("scenarios/damaged", "n_bursts:", "n_brsts:", "Did you mean `n_bursts`?"),
        (
            "scenarios/smoke",
            "2025-03-01",
            "2025-13-01",
            "`first_day`: input should be a valid date",
        ),
        ("scenarios/smoke", "kind: oi_jump", "kind: oi_jmp", "Did you mean `oi_jump`?"),
    ],
)
def test_mistakes_inside_unions_find_their_line(
    project: Project, name: str, old: str, new: str, said: str
) -> None:
    edit(project, name, old, new)
    with pytest.raises(SpecError) as caught:
        project.scenario(name.partition("/")[2], Scenario)
    text = (project.specs / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    shown, line, _ = str(caught.value).split(":", 2)
    assert shown == f"specs/{name}.yaml"
    assert new in text[int(line) - 1]
    assert said in str(caught.value)


def test_a_threshold_that_nobody_wrote_is_refused(project: Project) -> None:
    path = project.specs / "gates.yaml"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.strip().startswith("waiver_top_n:"))
    path.write_text("".join(lines[:at] + lines[at + 1 :]), encoding="utf-8")
    with pytest.raises(SpecError, match="waiver_top_n"):
        project.gates()


# --- markets and studies -----------------------------------------------------------------------


def test_the_place_of_the_bytes_is_not_in_a_markets_hash() -> None:
    market = Project().market("binance_freqtrade")
    moved = market.model_copy(
        update={"source": market.source.model_copy(update={"path": "/elsewhere"})}
    )
    off = market.model_copy(update={"enabled": False})
    shorter = market.model_copy(update={"symbols": market.symbols[:1]})
    assert moved.spec_hash() == off.spec_hash() == market.spec_hash()
    assert shorter.spec_hash() != market.spec_hash()


def test_a_path_names_environment_variables(tmp_path: Path) -> None:
    source = Project().market("binance_freqtrade").source
    there = source.folder(tmp_path, {"QUANTLAB_REAL_DATA": "/somewhere"})
    assert there == Path("/somewhere/freqtrade")
    with pytest.raises(SpecError, match="export QUANTLAB_REAL_DATA="):
        source.folder(tmp_path, {})
    fetched = Project().market("binance_alts_2026").source
    assert fetched.folder(tmp_path, {}) == tmp_path / "data/real/binance_archive"
    there = fetched.folder(tmp_path, {"QUANTLAB_REAL_DATA": "/somewhere"})
    assert there == Path("/somewhere/binance_archive")


def test_a_market_refuses_contradictions() -> None:
    body = Project().market("world_smoke").model_dump()
    for change in (
        {"synthetic": False},
        {"last_day": "2024-01-01"},
        {"datasets": {"bars_1m_perp": "optional"}},
        {"symbols": ["AAAUSDT", "AAAUSDT"]},
        {"source": {"kind": "world", "path": "somewhere"}},
    ):
        with pytest.raises(ValueError, match="validation error"):
            MarketSpec.model_validate(body | change)


def test_the_holdout_is_the_last_quarter_unless_declared() -> None:
    study = Project().study("planted_edges")
    assert (len(study.evaluation_days), len(study.holdout_days)) == (33, 11)
    declared = StudySpec.model_validate(study.model_dump() | {"holdout_from": "2025-02-01"})
    assert declared.holdout_days[0].isoformat() == "2025-02-01"
    assert study.evaluation_days + study.holdout_days == study.days
    with pytest.raises(ValueError, match="holdout_from"):
        StudySpec.model_validate(study.model_dump() | {"holdout_from": "2025-01-01"})


def test_unlisted_instruments_are_assumed_from_a_price_or_refused() -> None:
    listing = Project().instruments()
    assert listing.by_symbol(["DOGEUSDT"])["DOGEUSDT"].tick_size == Decimal("0.00001")
    with pytest.raises(SpecError, match=r"Not in specs/instruments.yaml: ZZZUSDT"):
        listing.by_symbol(["BTCUSDT", "ZZZUSDT"])
    assert listing.by_symbol(["ZZZUSDT"], assume=True)["ZZZUSDT"].tick_size == Decimal("1e-8")
    for price in (97_000.0, 100.0, 1.0, 0.0000123):
        made = listing.by_symbol(["ZZZUSDT"], assume=True, prices={"ZZZUSDT": price})["ZZZUSDT"]
        assert made.assumed
        assert price * 1e-5 < float(made.tick_size) <= price * 1e-4 * (1 + 1e-9)
        assert 0.1 < float(made.lot_size) * price <= 1 + 1e-6


def test_units_and_nearest_names() -> None:
    assert split_unit("cooldown_seconds") == ("cooldown", "s")
    assert split_unit("fee_bps") == ("fee", "bps")
    assert split_unit("version") == ("version", None)
    assert nearest("ret_5m", ["ret_15m_bps", "ret_5m_bps"]) == "ret_5m_bps"
    assert nearest("qqq", ["ret_5m_bps"]) is None


def test_a_hash_ignores_layout_but_not_content(tmp_path: Path) -> None:
    path = spec_schemas.SPECS / "event_registry.yaml"
    registry = load_spec(path, EventRegistry)
    commented = tmp_path / "event_registry.yaml"
    commented.write_text("# a word\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert load_spec(commented, EventRegistry).spec_hash() == registry.spec_hash()
    bumped = registry.model_copy(update={"version": registry.version + 1})
    assert bumped.spec_hash() != registry.spec_hash()
