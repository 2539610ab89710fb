"""Tables as Markdown, and figures in the unit of their column."""

from codeclm.evaluation import stats
from codeclm.evaluation.chart import svg
from codeclm.evaluation.tables import Chart, Point, Table, figure, mean, plain, rate

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


def test_markdown() -> None:
    rows = {"a": {"x": plain(1, "1")}, "b": {"x": plain(2, "2"), "y": plain(3, "3")}}
    whole = Table("T", rows, "A note.").markdown()
    assert whole == "## T\n\nA note.\n\n| | x | y |\n|---|---|---|\n| a | 1 |  |\n| b | 2 | 3 |\n"
    folded = Table("T", rows, folded=True).markdown()
    assert folded.startswith("<details><summary>T</summary>\n\n| | x")
    assert folded.endswith("| b | 2 | 3 |\n\n</details>\n")


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
