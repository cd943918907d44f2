"""Every method against values whose cut is known, its fallbacks, and the contract with the template."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta

import immunoprofile as ip
from immunoprofile.errors import GateError
from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.gate.methods import METHODS, read_arguments
from immunoprofile.gate.template import read_template
from immunoprofile.placement import place, with_references
from immunoprofile.placement.cuts import Found
from immunoprofile.placement.landmarks import curve_of, shift_between
from immunoprofile.placement.limits import LIMIT_METHODS, Axis, Control
from immunoprofile.placement.methods import GATE_METHODS
from immunoprofile.quality.doublets import singlet_gate
from tests.placement.samples import control, f1, placed_gates, with_method


def axis(values, *, reference=None, fmo=None):
    return Axis(
        "CD3", values, 1.0, reference, None if fmo is None else lambda: fmo,
        curve=lambda adjust: curve_of(values, adjust=adjust),
        shift=lambda adjust, bound: shift_between(curve_of(values, adjust=adjust), reference, bound=bound, span=1.0),
    )  # fmt: skip


def ask(method, at, place, **arguments) -> Found:
    return LIMIT_METHODS[method](at, place, {**METHODS[method].defaults, **arguments})


def normal(*peaks, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(middle, sd, n) for middle, sd, n in peaks])


def test_every_name_has_its_estimator_and_no_other():
    assert set(GATE_METHODS) == set(METHODS)
    assert set(LIMIT_METHODS) == {name for name, method in METHODS.items() if method.by_limit}


def test_mindensity_finds_the_valley_of_two_equal_peaks():
    found = ask("mindensity", axis(normal((0.3, 0.05, 5000), (0.7, 0.05, 5000))), 0.45)
    assert found.place == pytest.approx(0.5, abs=0.02)
    assert found.confidence > 0.9


ONE = ((0.3, 0.05, 5000),)
TWO = (*ONE, (0.7, 0.05, 5000))


@pytest.mark.parametrize(("peaks", "template"), [(ONE, 0.45), (TWO, 0.8)])
def test_one_peak_or_no_valley_in_reach_is_no_answer(peaks, template):
    found = ask("mindensity", axis(normal(*peaks)), template)
    assert found.place is None
    assert "no valley" in found.reason


def test_tailgate_lies_where_the_tail_of_a_normal_peak_flattens():
    """|f'| of a normal density is below 1 % of its maximum from z exp(-z^2/2) = 0.01 exp(-1/2) on: z = 3.57."""
    values = normal((0.3, 0.04, 200_000))
    right = ask("tailgate", axis(values), 0.45, adjust=1.0)
    left = ask("tailgate", axis(values), 0.15, adjust=1.0, side="left")
    assert right.place == pytest.approx(0.3 + 3.57 * 0.04, abs=0.012)
    assert left.place == pytest.approx(0.3 - 3.57 * 0.04, abs=0.012)


def test_tailgate_stops_at_the_next_peak_and_takes_the_peak_that_is_declared():
    values = normal((0.2, 0.04, 20_000), (0.5, 0.04, 40_000))
    assert 0.28 < ask("tailgate", axis(values), 0.3, peak="lowest").place < 0.42
    assert ask("tailgate", axis(values), 0.6, peak="tallest").place > 0.58


def test_fmo_quantile_is_the_quantile_of_the_control():
    values = normal((0.3, 0.05, 8000))
    found = ask("fmo_quantile", axis(values, fmo=Control(values, "FMO", moved=0.01)), 0.45)
    assert found.place == pytest.approx(np.quantile(values, 0.995) + 0.01)
    low, high = beta.ppf(0.025, 40, 7961), beta.ppf(0.975, 41, 7960)
    assert f"0.50% of the control positive ({100 * low:.2f} to {100 * high:.2f} %)" in found.note
    assert (found.n_events, found.source) == (8000, "FMO")


def test_a_small_fmo_control_gives_median_and_robust_sd_a_tiny_one_nothing():
    values = normal((0.3, 0.05, 600))
    found = ask("fmo_quantile", axis(values, fmo=Control(values, "FMO")), 0.45)
    mad = np.median(np.abs(values - np.median(values)))
    assert found.place == pytest.approx(np.median(values) + 2.5758 * 1.4826 * mad)
    assert "fewer than 4000 events" in found.note
    assert ask("fmo_quantile", axis(values, fmo=Control(values[:50], "FMO")), 0.45).place is None
    assert ask("fmo_quantile", axis(values, fmo="no FMO control"), 0.45).reason == "no FMO control"


def test_landmark_follows_the_sample_and_refuses_another_one():
    values = normal((0.3, 0.05, 4000), (0.7, 0.05, 2000))
    reference = curve_of(normal((0.3, 0.05, 4000), (0.7, 0.05, 2000), seed=1))
    found = ask("landmark", axis(values + 0.04, reference=reference), 0.5)
    assert found.place == pytest.approx(0.54, abs=0.004)
    other = normal((0.3, 0.01, 4000))
    assert "agrees by" in ask("landmark", axis(other, reference=reference), 0.5).reason
    assert "no density" in ask("landmark", axis(values), 0.5).reason
    assert "are needed" in ask("landmark", axis(values[:100], reference=reference), 0.5).reason


def test_landmark_does_not_carry_a_limit_across_a_population():
    """The negative cells moved by 0.09; what lies between the old and the new place of the cut did not."""
    reference = curve_of(normal((0.3, 0.03, 4000), (0.8, 0.03, 400)))
    values = normal((0.39, 0.03, 4000), (0.55, 0.01, 500), (0.8, 0.03, 400), seed=1)
    assert "among or beyond more cells" in ask("landmark", axis(values, reference=reference), 0.5).reason
    without = normal((0.39, 0.03, 4000), (0.8, 0.03, 400), seed=1)
    assert ask("landmark", axis(without, reference=reference), 0.5).place == pytest.approx(0.59, abs=0.01)
    assert ask("landmark", axis(values, reference=reference), 0.5, gap="left").place == pytest.approx(0.59, abs=0.01)


def test_landmark_does_not_empty_one_side_of_a_limit():
    """Neutrophils moved onto lymphocytes that stayed: the shift of the many would leave no lymphocyte above the cut."""
    reference = curve_of(normal((0.52, 0.025, 7500), (0.62, 0.015, 2500)))
    values = normal((0.595, 0.025, 7500), (0.62, 0.015, 2500), seed=1)
    found = ask("landmark", axis(values, reference=reference), 0.58)
    assert found.place is None
    assert "above the moved cut" in found.reason
    together = normal((0.595, 0.025, 7500), (0.695, 0.015, 2500), seed=1)
    assert ask("landmark", axis(together, reference=reference), 0.58).place == pytest.approx(0.655, abs=0.005)


GAINS = {"CD3": 0.06, "CD4": -0.06, "CD25": 0.06, "CD127": -0.06, "Viability": 0.06}
"""Shifts of log10: about 15 % in intensity."""


@pytest.fixture(scope="module")
def treg(tmp_path_factory):
    folder = tmp_path_factory.mktemp("treg")
    nominal, _ = control(folder, "treg", seed=1)
    moved, member = control(folder, "treg", seed=2, events=30_000, shift=GAINS)
    (folder / "still").mkdir()
    still, _ = control(folder / "still", "treg", seed=2, events=30_000)
    fixed = ip.gate.load(ip.gate.shipped_folder())["treg"]
    return fixed, nominal, moved, member, still


def test_gates_follow_the_gains_of_an_instrument(treg):
    """A gain of 15 % is 0.0135 of a logicle scale of 4.5 decades; each marker is moved by its own."""
    _, _, moved, member, still = treg
    template = placed_gates()["treg"]
    found = place(moved, template)
    shift = {(cut.population, cut.marker): cut.value - cut.template for cut in found.cuts}
    for key in (("t", "CD3"), ("cd4", "CD4"), ("treg", "CD25"), ("treg", "CD127")):
        assert shift[key] == pytest.approx(GAINS[key[1]] / 4.5, abs=0.004), key
    # Without a study there is no FMO control of Ki-67; everything else was placed.
    assert {cut.population for cut in found.review} == {"treg_ki67"}
    after = gate_sample(moved, found.strategy)
    assert f1(after.mask("cd4"), member["cd4"]) >= 0.98
    # The same cells on an instrument that did not move: their number under the template is the truth here.
    truth, held = gate_sample(still, template).n("treg"), gate_sample(moved, template).n("treg")
    assert abs(after.n("treg") / truth - 1) < 0.03 < abs(held / truth - 1)


def test_events_are_placed_on_exactly_as_they_are_gated(treg):
    """Estimates read a scale by its table; who is inside a parent is decided as the engine decides it."""
    _, _, moved, _, _ = treg
    found = place(moved, placed_gates()["treg"])
    gated = gate_sample(moved, found.strategy)
    for gate in found.strategy.gates:
        assert np.array_equal(found.events.mask(gate.population), gated.mask(gate.population)), gate.population


def test_a_value_next_to_a_limit_is_decided_by_the_scale_itself(treg):
    """Limits on the places of single events, where a table of the scale could be off by its last digits."""
    _, _, moved, _, _ = treg
    fixed = ip.gate.load(ip.gate.shipped_folder())["treg"]
    scale = dict(fixed.scales)[fixed["t"].dimensions[0].scale]
    column = next(n for n, channel in enumerate(moved.channels) if channel.marker == "CD3")
    raw = replace(fixed["t"], parent="root", dimensions=(replace(fixed["t"].dimensions[0], compensated=False),))
    for value in np.sort(moved.events[:, column])[[9_000, 15_000, 21_000]]:
        limit = float(scale.apply(np.array([float(value)]))[0])
        gate = replace(raw, dimensions=(replace(raw.dimensions[0], minimum=limit),))
        strategy = replace(fixed, gates=(gate,), references=(), beads="")
        assert np.array_equal(place(moved, strategy).events.mask("t"), gate_sample(moved, strategy).mask("t"))
        assert gate_sample(moved, strategy).mask("t")[moved.events[:, column] == value].all()


def test_an_event_on_the_edge_of_a_polygon_is_decided_by_the_scale_itself(treg):
    """Triangles with a corner on an event and upright, level and slanting edges through it, in both directions."""
    _, _, moved, _, _ = treg
    fixed = ip.gate.load(ip.gate.shipped_folder())["treg"]
    axes = tuple(replace(d, compensated=False) for d in fixed["treg"].dimensions)
    scales = dict(fixed.scales)
    columns = [next(n for n, c in enumerate(moved.channels) if c.marker == d.marker) for d in axes]
    places = [scales[d.scale].apply(moved.events[:, c]) for d, c in zip(axes, columns, strict=True)]
    order = np.argsort(places[0])
    for event in order[[2_000, 11_000, 20_000]]:
        x, y = (float(one[event]) for one in places)
        for corners in (
            ((x, y), (x, y + 0.3), (x + 0.4, y)),
            ((x, y), (x - 0.4, y), (x, y - 0.3)),
            ((x - 0.2, y - 0.1), (x + 0.2, y + 0.1), (x + 0.3, y - 0.4)),
        ):
            gate = replace(fixed["treg"], parent="root", dimensions=axes, vertices=corners)
            strategy = replace(fixed, gates=(gate,), references=(), beads="")
            inside = place(moved, strategy).events.mask("treg")
            assert inside.any()
            assert np.array_equal(inside, gate_sample(moved, strategy).mask("treg")), corners


def test_what_has_no_answer_keeps_the_template_and_asks_for_review(treg):
    fixed, _, moved, *_ = treg
    placed = place(moved, with_method(fixed, "treg_foxp3", "mindensity", events=1e6))
    (cut,) = placed.cuts
    assert (cut.method, cut.value, cut.review) == ("template", cut.template, True)
    assert "are needed" in cut.reason
    assert placed.strategy["treg_foxp3"].dimensions == fixed["treg_foxp3"].dimensions


def test_a_fallback_is_taken_and_named(treg):
    fixed, _, moved, *_ = treg
    (cut,) = place(moved, with_method(fixed, "t", "fmo_quantile", fallback="mindensity")).cuts
    assert cut.method == "mindensity"
    assert cut.reason == "fmo_quantile: no controls are known here"
    assert cut.review
    (cut,) = place(moved, with_method(fixed, "t", "landmark", fallback="mindensity", shift=0.0005)).cuts
    assert (cut.method, cut.value) == ("template", cut.template)
    assert "landmark: " in cut.reason
    assert "mindensity: " in cut.reason


def test_singlets_are_those_of_the_quality_check(treg):
    fixed, _, moved, *_ = treg
    found = place(moved, with_method(fixed, "singlets", "singlet"))
    inside = gate_sample(moved, fixed).mask("time_ok")
    area, height = (moved.events[inside, column].astype(float) for column in (0, 1))
    expected = singlet_gate(area, height)
    np.testing.assert_array_equal(np.array(found.strategy["singlets"].vertices), expected.polygon)


def test_ref_quad_and_boolean(treg):
    fixed, nominal, moved, *_ = treg
    strategy = with_method(fixed, "t", "mindensity")
    copy = replace(strategy["t"], population="t_again", parent="live", method="ref", arguments=(("of", "t"),))
    corner = replace(
        strategy["treg_naive"], population="naive_ki67", parent="cd4", method="quad",
        dimensions=(strategy["treg_naive"].dimensions[0], strategy["treg_ki67"].dimensions[0]),
    )  # fmt: skip
    strategy = replace(strategy, gates=(*strategy.gates, copy, corner))
    strategy = with_method(strategy, "tconv", "boolean")
    found = place(moved, with_references(strategy, nominal))
    cuts = {(cut.population, cut.marker): cut for cut in found.cuts}
    assert found.strategy["t_again"].dimensions == found.strategy["t"].dimensions != fixed["t"].dimensions
    by_one = place(moved, with_method(replace(strategy), "naive_ki67", "mindensity"))
    assert found.strategy["naive_ki67"].dimensions == by_one.strategy["naive_ki67"].dimensions
    assert {cut.method for key, cut in cuts.items() if key[0] == "naive_ki67"} <= {"quad", "template"}
    masks = gate_sample(moved, found.strategy)
    np.testing.assert_array_equal(masks.mask("tconv"), masks.mask("cd4") & ~masks.mask("treg"))


def test_template_to_placed_gates_to_gatingml_keeps_memberships(treg, tmp_path):
    """Template -> placed gates -> GatingML, read back by FlowKit -> the same memberships, event for event."""
    _, nominal, moved, *_ = treg
    template = with_references(placed_gates()["treg"], nominal)
    ip.gate.save(template, tmp_path / "treg.csv")
    assert ip.gate.load(tmp_path / "treg.csv")["treg"] == template
    placed = place(moved, template).strategy
    ip.gate.save(placed, tmp_path / "placed.xml")
    again = ip.gate.load(tmp_path / "placed.xml")["placed"]
    ours, theirs = gate_sample(moved, placed), gate_sample(moved, again)
    assert placed.sha256 != template.sha256
    for population in placed.populations:
        np.testing.assert_array_equal(ours.mask(population), theirs.mask(population), err_msg=population)


TEMPLATE = """# tube: t
# scales: {logicle: {kind: logicle, T: 262144, W: 0.5, M: 4.5, A: 0}}
# default_scale: logicle
population,parent,gate,method,arguments,dim_1,min_1,max_1,dim_2,min_2,max_2,operands,group_by,fallback
t,root,rectangle,mindensity,adjust=2; shift=0.1,CD3,0.5,,,,,,subject,template
cd4,t,rectangle,landmark,,CD4,0.5,,CD8,,0.5,,,
cd8,t,rectangle,quad,by=landmark,CD4,,0.5,CD8,0.5,,,batch,
not_cd4,t,not,boolean,,,,,,,,cd4,,
"""


@pytest.mark.parametrize(
    ("old", "new", "row", "column", "reason"),
    [
        ("adjust=2", "width=2", 1, "arguments", "has no argument of this name"),
        ("adjust=2", "adjust=much", 1, "arguments", "has another value than allowed"),
        ("shift=0.1", "shift=0.9", 1, "arguments", "has another value than allowed"),
        ("shift=0.1", "shift", 1, "arguments", "written name=value"),
        ("adjust=2", "shift=0.1", 1, "arguments", "stands twice"),
        ("adjust=2", "axes=CD19", 1, "arguments", "no axis of the gate"),
        ("adjust=2", "within=cd4", 1, "arguments", "no population above it"),
        ("subject,template", "visit,template", 1, "group_by", "unknown group"),
        ("subject,template", "subject,earlier_batch", 1, "fallback", "is no fallback of mindensity"),
        ("t,rectangle,landmark,", "t,rectangle,polygon,", 2, "method", "does not place a gate 'rectangle'"),
        ("t,rectangle,landmark,", "t,rectangle,ref,of=nk", 2, "arguments", "ref needs of="),
        ("by=landmark", "by=fmo_quantile", 3, "arguments", "has another value than allowed"),
        ("CD8,0.5,", "CD8,0.5,0.9", 3, "method", "one limit each"),
        ("not,boolean", "not,mindensity", 4, "method", "does not place a gate 'not'"),
    ],
)  # fmt: skip
def test_faults_of_a_template_stand_by_row_and_column(tmp_path, old, new, row, column, reason):
    path = tmp_path / "t.csv"
    path.write_text(TEMPLATE)
    assert read_template(path)["t"].arguments == (("adjust", 2.0), ("shift", 0.1))
    assert old in TEMPLATE
    path.write_text(TEMPLATE.replace(old, new))
    with pytest.raises(GateError) as caught:
        read_template(path)
    assert [(p.row, p.column) for p in caught.value.problems if reason in p.what] == [(row, column)], caught.value


def test_all_faults_at_once(tmp_path):
    text = TEMPLATE.replace("adjust=2", "width=2").replace("subject,template", "visit,none").replace("by=l", "by=x")
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(GateError) as caught:
        read_template(tmp_path / "t.csv")
    assert {(p.row, p.column) for p in caught.value.problems} == {
        (1, "arguments"), (1, "group_by"), (1, "fallback"), (3, "arguments"),
    }  # fmt: skip


def test_arguments_are_read_as_they_are_written():
    pairs, faults = read_arguments("peak=lowest; adjust=1.5", METHODS["tailgate"])
    assert (dict(pairs), faults) == ({"peak": "lowest", "adjust": 1.5}, [])


def test_shipped_placed_templates_have_the_limits_of_the_fixed_ones():
    fixed, placed = ip.gate.load(ip.gate.shipped_folder()), placed_gates()
    for tube, strategy in placed.items():
        plain = tuple(replace(g, method="fixed", arguments=(), group_by="", fallback="") for g in strategy.gates)
        assert plain == fixed[tube].gates
        stored = {(one.parent, one.marker) for one in strategy.references}
        for gate in strategy.gates:
            if gate.method in ("landmark", "polygon") and not gate.arguments:
                assert {(gate.parent, d.marker) for d in gate.dimensions if d.scale} <= stored
