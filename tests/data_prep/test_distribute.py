"""Parts of a work: in processes or on Ray as one by one, and a dead worker's part done again."""

import sys

import pytest

from codeclm.data_prep import prepare
from codeclm.data_prep.distribute import spread
from tests.data_prep import works

RAY = pytest.param("ray", marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def ray():
    """A Ray of two processors on this machine."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield ray
    ray.shutdown()


@pytest.fixture
def engine(request):
    if request.param == "ray":
        request.getfixturevalue("ray")
    return request.param


engines = pytest.mark.parametrize("engine", ["local", RAY], indirect=True)


@engines
def test_every_part_is_done(engine):
    assert sorted(spread(works.double, range(5), engine, 2)) == [0, 2, 4, 6, 8]


@engines
def test_the_part_of_a_killed_worker_is_done_again(engine, tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    (folders[0] / "died").touch()
    (folders[1] / "died").touch()
    parts = [str(folder) for folder in folders]
    assert sorted(spread(works.die_once, parts, engine, 2)) == parts
    assert (folders[2] / "died").exists()


@engines
def test_a_mistake_ends_it_with_its_own_words(engine):
    with pytest.raises(ValueError, match=r"^number \d is no good$"):
        list(spread(works.complain, range(3), engine, 2))


@pytest.mark.slow
@engines
def test_a_part_that_always_kills_is_given_up(engine):
    with pytest.raises(ValueError, match="killed 4 times"):
        list(spread(works.die, [1], engine, 2))


@pytest.mark.slow
@engines
def test_two_workers_write_the_bytes_of_one(engine, clips, tmp_path, monkeypatch):
    """The two of them into a store."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    given = [f"manifest={clips}", "codecs=[house-fsq,house-vae]", "shard=5", "align_steps=1"]
    written = []
    for out, workers in ((tmp_path / "one", 1), (tmp_path / "two", 2)):
        to = out if workers == 1 else f"file://{out}"
        prepare.run(None, [*given, f"out={to}", f"workers={workers}", f"engine={engine}"])
        files = [path for path in out.rglob("*") if path.is_file()]
        written.append({path.relative_to(out): path.read_bytes() for path in files})
    assert len(written[0]) > 12
    assert written[0] == written[1]


def test_missing_ray_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'codeclm\[ray\]'"):
        list(spread(works.double, [1], "ray"))
