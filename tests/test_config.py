"""Configuration: the order of the layers, and errors that say what to change."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, field_validator, model_validator

from codeclm.config import Config, load_config, to_yaml


class Optim(Config):
    lr: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.95)


class Delay(Config):
    kind: Literal["delay"] = "delay"
    offsets: tuple[int, ...] = (0, 1)


class Flatten(Config):
    kind: Literal["flatten"] = "flatten"
    tree: bool = False


class Corpus(Config):
    name: str = "starter"
    hours: float | None = None


class Run(Config):
    steps: int = 100
    language: str = "en"
    optim: Optim = Optim()
    layout: Annotated[Delay | Flatten, Field(discriminator="kind")] = Delay()
    extra: Optim | Corpus | None = None
    corpora: tuple[Corpus, ...] = ()
    by_name: dict[str, Corpus] = Field(default_factory=dict)

    @field_validator("steps")
    @classmethod
    def _positive(cls, steps):
        if steps <= 0:
            raise ValueError("must be positive")
        return steps


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def message(path=None, *overrides, cls=Run):
    with pytest.raises(ValueError) as error:  # noqa: PT011  (each test checks the whole text)
        load_config(cls, path, overrides)
    text = str(error.value)
    assert "\n" not in text
    return text


def test_defaults():
    assert load_config(Run) == Run()


def test_file_then_overrides_in_order(tmp_path):
    file = write(tmp_path / "run.yaml", "steps: 5\noptim:\n  lr: 1e-3\n")
    config = load_config(Run, file, ["optim.lr=1e-5", "steps=7", "steps=8"])
    assert config == Run(steps=8, optim=Optim(lr=1e-5))


def test_base_is_relative_to_its_file_and_merged_deeply(tmp_path):
    (tmp_path / "sub").mkdir()
    write(tmp_path / "root.yaml", "steps: 1\noptim: {lr: 0.1, betas: [0.5, 0.6]}\n")
    write(tmp_path / "sub" / "mid.yaml", "base: ../root.yaml\nsteps: 2\nlanguage: hi\n")
    leaf = write(tmp_path / "sub" / "leaf.yaml", "base: mid.yaml\noptim: {lr: 0.2}\n")
    config = load_config(Run, leaf)
    assert config == Run(steps=2, language="hi", optim=Optim(lr=0.2, betas=(0.5, 0.6)))


def test_an_empty_file_means_the_defaults(tmp_path):
    assert load_config(Run, write(tmp_path / "empty.yaml", "# nothing\n")) == Run()


def test_lists_are_replaced(tmp_path):
    write(tmp_path / "base.yaml", "corpora: [{name: a}, {name: b}]\n")
    file = write(tmp_path / "run.yaml", "base: base.yaml\ncorpora: [{name: c}]\n")
    assert load_config(Run, file).corpora == (Corpus(name="c"),)


@pytest.mark.parametrize(
    ("text", "value"),
    [("no", "no"), ("on", "on"), ("2024-01-02", "2024-01-02"), ("12:30", "12:30"), ("007", "007")],
)
def test_words_stay_words(text, value):
    assert load_config(Run, None, [f"language={text}"]).language == value


@pytest.mark.parametrize("text", ["3e-4", "3E-4", "3.0e-4", ".0003", "+0.0003"])
def test_numbers_are_numbers(text):
    assert load_config(Run, None, [f"optim.lr={text}"]).optim.lr == 3e-4


def test_integers_may_be_grouped():
    assert load_config(Run, None, ["steps=1_000_000"]).steps == 1_000_000


def test_an_override_may_hold_a_mapping_or_nothing():
    assert load_config(Run, None, ["extra={name: x}"]).extra == Corpus(name="x")
    assert load_config(Run, None, ["extra={name: x}", "extra="]).extra is None


def test_config_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Run().steps = 3


@pytest.mark.parametrize("language", ["no", "3e-4", "12:30", "1", "", "null", "हिन्दी", "a: b", "~"])
def test_to_yaml_round_trip(tmp_path, language):
    config = Run(
        language=language,
        optim=Optim(lr=1e-7, betas=(float("inf"), 0.0)),
        layout=Flatten(tree=True),
        corpora=(Corpus(hours=2.5),),
        by_name={"yes": Corpus()},
    )
    file = write(tmp_path / "run.yaml", to_yaml(config))
    assert load_config(Run, file) == config


def test_unknown_key_in_a_file(tmp_path):
    file = write(tmp_path / "run.yaml", "optim:\n  l_r: 1\n")
    assert message(file) == (
        f"{file}: unknown key 'optim.l_r' (did you mean 'lr'?); known keys: lr, betas"
    )


def test_unknown_key_in_the_base_names_the_base(tmp_path):
    base = write(tmp_path / "base.yaml", "stpes: 1\n")
    file = write(tmp_path / "run.yaml", "base: base.yaml\nsteps: 2\n")
    assert message(file).startswith(f"{base}: unknown key 'stpes' (did you mean 'steps'?)")


def test_unknown_key_in_an_override():
    text = message(None, "optim.weight_decay=0.1")
    assert text == (
        "override 'optim.weight_decay=0.1': unknown key 'optim.weight_decay'; known keys: lr, betas"
    )


def test_unknown_key_behind_tags_and_containers():
    assert "known keys: kind, tree" in message(None, "layout={kind: flatten, offsets: [1]}")
    assert "unknown key 'layout.offsets'" in message(None, "layout={kind: flatten, offsets: [1]}")
    text = message(None, "corpora=[{name: a}, {nmae: b}]")
    assert "unknown key 'corpora.1.nmae' (did you mean 'name'?); known keys: name, hours" in text
    assert "unknown key 'by_name.a.hour'" in message(None, "by_name.a.hour=1")
    assert "unknown key 'extra.x'" in message(None, "extra.x=1")


def test_wrong_type_is_one_line(tmp_path):
    file = write(tmp_path / "run.yaml", "steps: many\n")
    assert message(file) == (
        f"{file}: 'steps': Input should be a valid integer, unable to parse string as an integer"
        " (got 'many')"
    )
    assert message(None, "optim=3").startswith(
        "override 'optim=3': 'optim': Input should be a valid"
    )
    assert "(got '" in message(None, f"steps={'x' * 500}")
    assert len(message(None, f"steps={'x' * 50} ")) < 250


def test_a_validator_speaks_in_its_own_words():
    text = message(None, "steps=0", "optim.lr=x")
    assert text == "override 'steps=0': 'steps': must be positive (got 0) (and 1 more)"


def test_a_rule_over_several_fields_names_the_file(tmp_path):
    class Pair(Config):
        low: int = 0
        high: int = 1

        @model_validator(mode="after")
        def _ordered(self):
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    file = write(tmp_path / "pair.yaml", "low: 5\n")
    assert message(file, cls=Pair).startswith(f"{file}: 'the whole': low is above high")
    assert message(None, "low=5", cls=Pair).startswith("Pair: 'the whole': low is above high")


def test_a_required_key():
    class Needs(Config):
        corpus: str

    text = message(None, cls=Needs)
    assert text == "Needs: 'corpus' has no default; set it in the file or as corpus=..."


@pytest.mark.parametrize("override", ["steps", "=3", "optim..lr=1", ".=1", ""])
def test_malformed_override(override):
    expected = f"override {override!r}: write it as key=value, such as optim.lr=1e-4"
    assert message(None, override) == expected


def test_override_that_is_not_yaml():
    assert message(None, "steps=[1,").startswith("override 'steps=[1,': not valid YAML: ")


def test_missing_file(tmp_path):
    write(tmp_path / "flatten.yaml", "")
    path = tmp_path / "flaten.yaml"
    expected = f"{path}: no such configuration file; did you mean flatten.yaml?"
    assert message(path) == expected
    assert "no such configuration file" in message(tmp_path / "no" / "folder.yaml")


def test_missing_base_names_both_files(tmp_path):
    file = write(tmp_path / "run.yaml", "base: gone.yaml\n")
    text = message(file)
    assert text == (
        f"{tmp_path / 'gone.yaml'}: no such configuration file"
        f" (named as `base` in {file.resolve()})"
    )


def test_base_in_a_circle(tmp_path):
    a = write(tmp_path / "a.yaml", "base: b.yaml\n")
    write(tmp_path / "b.yaml", "base: a.yaml\n")
    assert "`base` leads in a circle" in message(a)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("- 1\n", "expected `key: value` lines, found a list"),
        ("just words\n", "expected `key: value` lines, found a str"),
        ("a: [1\n", "not valid YAML"),
        ("steps: 1\nsteps: 2\n", "the key 'steps' appears twice"),
        ("base: [a.yaml]\n", "`base` is the path of one YAML file"),
        ("steps: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
    ],
)
def test_bad_file(tmp_path, text, part):
    file = write(tmp_path / "run.yaml", text)
    assert message(file).startswith(f"{file}: ")
    assert part in message(file)


def test_folder_or_binary_instead_of_a_file(tmp_path):
    assert "cannot read the configuration file: Is a directory" in message(tmp_path)
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8 text" in message(tmp_path / "x.yaml")
