"""Tables and charts, and the reports that are made of them."""

import re
from pathlib import Path
from xml.etree import ElementTree

from codeclm.evaluation import report, stats
from codeclm.evaluation.chart import curves, front, scatter, svg
from codeclm.evaluation.tables import Chart, Point, Table, change, figure, mean, number, rate

ROWS = [{"e": "1", "w": "10"}, {"e": 0, "w": 10}, {"e": "", "w": 99}, {"w": 99}]


def test_a_rate_is_pooled_over_the_rows_that_have_it() -> None:
    cell = rate(ROWS, "e", "w")
    assert cell is not None
    assert (cell.value["value"], cell.text) == (5.0, "5.0")
    assert cell.value["items"] == 2
    assert rate(ROWS[2:], "e", "w") is None
    assert mean(ROWS[2:], "e", 2) is None


def test_figures_are_scaled_with_their_interval() -> None:
    cell = figure(stats.Interval(0.123, 0.1, 0.2, 7), 1, 100, "+")
    assert (cell.text, cell.detail) == ("+12.3", "[+10.0, +20.0]")
    assert round(cell.value["high"], 6) == 20


def test_a_number_is_written_in_its_unit() -> None:
    assert number(7) == (7, "7", "")
    assert number(12_345, ",") == (12_345, "12,345", "")
    assert number(0.256, ".1f", 100) == (0.256, "25.6", "")


def test_a_change_is_that_of_the_items_that_both_have() -> None:
    rows = [{"part": "a", "id": str(i), "errors": i, "words": 10} for i in range(4)]
    others = [row | {"errors": row["errors"] - 1} for row in rows[1:3]]
    found = change(rows, [*others, rows[0] | {"part": "b"}, rows[3] | {"errors": ""}])
    assert found is not None
    assert (found.value, found.items) == (0.1, 2)
    assert change(rows, []) is None


def test_markdown() -> None:
    rows = {"a": {"x": number(1)}, "b": {"x": number(2), "y": number(3)}}
    whole = report.table(Table("T", rows, "A note.")).markdown
    assert whole == "## T\n\nA note.\n\n| | x | y |\n|---|---|---|\n| a | 1 |  |\n| b | 2 | 3 |"
    folded = report.table(Table("T", rows, folded=True)).markdown
    assert folded.startswith("<details><summary>T</summary>\n\n| | x")
    assert folded.endswith("| b | 2 | 3 |\n\n</details>")
    assert report.table(Table("", rows, corner="n")).markdown.startswith("| n | x | y |\n|---")


def test_a_report_says_the_same_in_all_forms(tmp_path: Path) -> None:
    parts = [
        report.line("1 < 2"),
        report.heading("On the page alone"),
        report.points("Why", ["by `x < y`"]),
        report.points("Left out", []),
        report.commands("Again", ["a && b", "c"]),
    ]
    text = report.write(tmp_path / "v1.2", {"a": 1}, parts, "T & U")
    assert text == "# T & U\n\n1 < 2\n\n## Why\n\n- by `x < y`\n\n## Again\n\n    a && b\n    c\n"
    assert (tmp_path / "v1.2.md").read_text("utf-8") == text
    page = (tmp_path / "v1.2.html").read_text("utf-8")
    assert "<title>T &amp; U</title>" in page
    for html in ("<h1>T &amp; U</h1>", "<p>1 &lt; 2</p>", "<h2>On the page alone</h2>"):
        assert html in page
    assert "<h2>Why</h2><ul><li>by <code>x &lt; y</code></ul>" in page
    assert "<h2>Again</h2><pre>a &amp;&amp; b\nc</pre>" in page
    assert "Left out" not in page
    report.write(tmp_path / "plain", {}, parts)
    assert not (tmp_path / "plain.html").exists()


def test_a_chart_joins_one_codec_and_draws_a_line_across_for_latents() -> None:
    points = [
        Point("a:1", 500, 1.5, 1.4, 1.6), Point("a", 2000, 2.5, 2.4, 2.6),
        Point("vae", None, 3, 2.9, 3.1),
    ]  # fmt: skip
    drawn = svg(Chart("PESQ <by> rate", "PESQ-WB", points), {"a": 0, "vae": 1})
    assert drawn.count('class="join') == 1
    assert drawn.count("<circle") == 2
    assert drawn.count('class="across"') == 1
    assert "PESQ &lt;by&gt; rate" in drawn
    alone = svg(Chart("one", "%", [Point("vae", None, 0.0, 0.0, 0.0)]), {"vae": 0})
    assert "nan" not in alone


def test_the_front_is_what_no_other_beats_in_both() -> None:
    points = [Point(name, x, y, y, y) for name, x, y in (
        ("slow and good", 1, 1), ("in between", 2, 2), ("beaten", 1.5, 3), ("quick", 4, 4),
        ("as quick and worse", 4, 5),
    )]  # fmt: skip
    assert [p.name for p in front(points, lower=False)] == ["slow and good", "in between", "quick"]
    assert [p.name for p in front(points, lower=True)] == ["slow and good"]


def test_a_scatter_has_the_front_and_names_that_do_not_meet() -> None:
    points = [
        Point("one", 5, 5.0, 4, 6),
        Point("two", 5.02, 5.02, 4, 6),
        Point("all", None, 2, 1, 3),
    ]
    drawn = scatter(Chart("WER", "%", points), {"one": 1}, "x real time")
    assert drawn.count("<circle") == 2
    assert drawn.count('class="across"') == 1
    places = re.findall(r'class="name" x="([\d.]+)" y="([\d.]+)"', drawn)
    assert len(set(places)) == 2
    assert 'class="front"' in scatter(
        Chart("WER", "%", [Point("a", 1, 5, 4, 6), Point("b", 2, 7, 6, 8)]), {}, "x"
    )


def test_a_chart_is_a_file_of_its_own_too() -> None:
    drawn = scatter(Chart("WER", "%", [Point("a & b", 1, 5, 4, 6)]), {}, "x real time")
    root = ElementTree.fromstring(report.alone(drawn))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in (root[0].text or "")
    assert "a & b" in "".join(root.itertext())


def test_curves_end_in_names_below_each_other() -> None:
    line = [(float(x), 100.0 - x) for x in range(20)]
    drawn = curves("loss", {"a": line, "b": line}, {"a": 0, "b": 1}, "hours")
    assert drawn.count('class="curve') == 2
    heights = [float(y) for y in re.findall(r'said"><text x="[\d.]+" y="([\d.]+)"', drawn)]
    assert heights[1] - heights[0] >= 12
