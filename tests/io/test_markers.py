"""Marker names: what vendors write is understood, and nothing is guessed."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from immunoprofile.io.markers import canonical_marker, find_marker, marker_of_channel, marker_type, same_marker


@pytest.mark.parametrize(
    ("label", "marker"),
    [
        # Usual aliases of the antigens.
        ("CD197", "CCR7"), ("IL-2Rα", "CD25"), ("IL-7Ra", "CD127"), ("HLADR", "HLA-DR"), ("hla dr", "HLA-DR"),
        ("NCAM", "CD56"), ("FcγRIII", "CD16"), ("LCA", "CD45"), ("FOXP3", "FoxP3"), ("ki67", "Ki-67"),
        ("L/D", "Viability"), ("Zombie NIR", "Viability"), ("Aqua", "Viability"), ("FVS780", "Viability"),
        ("7-AAD", "Viability"), ("DAPI", "Viability"), ("PI", "Viability"), ("cd-3", "CD3"), ("CD 45_ra", "CD45RA"),
        # Dye before or behind, with any of the usual separators.
        ("CD3 FITC", "CD3"), ("CD3-FITC", "CD3"), ("CD3:FITC", "CD3"), ("CD3 PE-Cy7", "CD3"), ("PE-A CD25", "CD25"),
        ("Human CD8", "CD8"), ("anti-human CD4 BV605", "CD4"), ("CD25 Alexa Fluor 647", "CD25"),
        ("HLA-DR PerCP-Cy5-5", "HLA-DR"), ("Ki-67 BV605", "Ki-67"), ("CD16/CD56 PE", "CD16+CD56"),
        # As they stand in files of the test data.
        ("FITC CD4", "CD4"), ("PP CD3", "CD3"), ("APC CD45RA", "CD45RA"), ("CD31 Cy7 PE", "CD31"),
        ("CD28 Cy5 PE", "CD28"), ("CD3 H7 APC", "CD3"), ("CCR7 Ax680", "CCR7"), ("CD57 QD705", "CD57"),
        ("CD8a AF700", "CD8"), ("CD62L PerCP-Cy5.5", "CD62L"), ("CD21;FITC;530/30@488/B", "CD21"),
        ("viability;7-AAD;695/40@488/A", "Viability"), ("CD103-FITC", "CD103"), ("CD22-PC5", "CD22"),
        ("Live/Dead NIR", "Viability"), ("l/d", "Viability"), ("HLADr", "HLA-DR"), ("TCRyd", "TCRgd"),
        # Cy5.5 as people type it, and viability in any words that say only that.
        ("PerCP-Cy55 - CD45RA", "CD45RA"), ("PerCP Cy55 CD8", "CD8"), ("CD4 PerCPCy55", "CD4"),
        ("L/D Aqua - Viability", "Viability"), ("LiveDead Aqua", "Viability"), ("Live Dead Blue", "Viability"),
        ("Aqua LD", "Viability"), ("Dead Cells", "Viability"), ("LIVE/DEAD Fixable Near-IR", "Viability"),
        ("Fixable Viability Dye eFluor 780", "Viability"), ("FVD eF506", "Viability"), ("Viability-eF780", "Viability"),
        ("Ghost Dye Violet 510", "Viability"), ("Zombie NIR - BUV395", "Viability"), ("FVS 780", "Viability"),
        ("Amine Aqua", "Viability"), ("ViViD", "Viability"), ("L/D APC-Cy7", "Viability"), ("FVS700", "Viability"),
        ("Zombie UV", "Viability"), ("Via Dye Red", "Viability"), ("7AAD viability", "Viability"),
        ("Propidium Iodide", "Viability"), ("TO-PRO-3", "Viability"), ("Live/Dead (BV510)", "Viability"),
        # Two names of one marker, and dyes of recent years.
        ("CD56 (NCAM) PE", "CD56"), ("CD127 (IL-7Ra)", "CD127"), ("CCR7 [CD197]", "CCR7"),
        ("CD279(PD-1)-BV785", "PD-1"), ("CD3 (OKT3)", "CD3"),
        ("CD4 (RPA-T4) APC", "CD4"), ("FITC CD127 (hIL-7R-M21)", "CD127"), ("CD14 (MφP9)", "CD14"),
        ("PE-Cy7 CD25 (IL-2Ra)", "CD25"), ("FITC (CD3)", "CD3"), ("CD45 (LCA)(Y89)Di", "CD45"),
        ("CD3 Spark Blue 550", "CD3"), ("Spark NIR 685-CD19", "CD19"), ("CD4 cFluor V420", "CD4"),
        ("CD34 StarBright Violet 440", "CD34"), ("CD3 NovaFluor Yellow 690", "CD3"), ("CD14 Vio770", "CD14"),
        ("CD25 RealBlue 780", "CD25"), ("iFluor 488 CD8", "CD8"), ("Helix NP", "Viability"),
        # Mass cytometry.
        ("Cisplatin(Pt195)Di", "Viability"),
        ("CD3(Er170)Di", "CD3"), ("CD3(110:114)Dd", "CD3"), ("HLA-DR(Yb174)Dd", "HLA-DR"), ("170Er_CD3", "CD3"),
        ("CD45RA_153Eu", "CD45RA"), ("CD3_Cd112Di", "CD3"),
    ],
)  # fmt: skip
def test_spellings_are_understood(label, marker):
    assert canonical_marker(label) == marker
    assert marker_of_channel("X-A", f" {label} ") == marker


@pytest.mark.parametrize(
    "label",
    [
        "PE-A", "APC-Cy7-A", "Alexa Fluor 700-A", "e450-A", "FL1-H", "FL1-Height", "(Er170)Dd", "CD4+CD20",
        "CD19/TCRgd", "CD56+IgK", "VIVID / CD14", "CD3 UCHT1", "CD4 CD8", "pp38", "DNA1", "BC1", "Isotype Control",
        "Deadbox", "Live cells CD3+", "Aqua Blue", "Blue", "Dye", "Red 710", "Cells", "Liver", "Viability CD14",
        "LD CD19", "Alive", "710", "PIP2", "Viagen", "GFP/FITC-A", "CD3-A", "CD8b", "CD3e", "", "CD", "CD3PE",
        "CD3 (CD4)", "CD16 (CD56)", "CD3 (beads)", "CD56 (bright)", "Panel (OKT3)", "Helix", "Spark", "Vio770",
    ],
)  # fmt: skip
def test_what_is_not_understood_keeps_its_spelling(label):
    assert canonical_marker(label) == label


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("CD3", "CD38"), ("CD3", "CD31"), ("CD3 FITC", "CD38 FITC"), ("CD4", "CD45"), ("CD4", "CD4+CD20"),
        ("CD8", "CD8b"), ("CD16", "CD16+CD56"), ("CD45RA", "CD45RO"), ("CD45", "CD45RA"), ("CD3", "CD3-A"),
        ("CD14", "VIVID / CD14"), ("PE-A", "APC-A"), ("CD11a", "CD11c"),
    ],
)  # fmt: skip
def test_different_markers_stay_different(left, right):
    assert not same_marker(left, right)


@hypothesis.given(st.integers(1, 371), st.integers(1, 371), st.sampled_from(["{} FITC", "PE-Cy7 {}", "{}-BV421", "{}"]))
def test_no_number_is_found_in_another(first, second, form):
    """CD3 is found in no other CD number, in whatever dress it comes."""
    assert same_marker(f"CD{first}", form.format(f"CD{second}")) == (
        first == second or canonical_marker(f"CD{first}") == canonical_marker(f"CD{second}")
    )
    if first != second and canonical_marker(f"CD{first}") == f"CD{first}":
        assert canonical_marker(form.format(f"CD{second}")) != f"CD{first}"


@hypothesis.given(st.text(max_size=200))
@hypothesis.settings(max_examples=300)
def test_any_label_is_read_in_time_and_once(label):
    marker = canonical_marker(label)
    assert canonical_marker(marker) == marker
    assert marker_type(marker)


@hypothesis.given(
    st.lists(st.sampled_from(["PE", "-", "CD3", " ", "Cy7", "BV", "421", "A", "_", "human", "(Er170)"]), max_size=60)
)
def test_long_labels_of_dye_words_do_not_hang(parts):
    canonical_marker("".join(parts))


def test_two_channels_of_one_marker_are_both_found():
    markers = [canonical_marker(label) for label in ("CD3 FITC", "CD38 PE", "cd-3")]
    assert find_marker("CD3", markers) == [0, 2]
    assert find_marker("CD38 APC", markers) == [1]
    assert find_marker("V450-A", markers, [("FITC-A", ""), ("V450-A", ""), ("x", "y")]) == [1]
