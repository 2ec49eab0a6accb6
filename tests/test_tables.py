"""Tables: types, statistics of the training rows, stable splits, what is refused."""

from __future__ import annotations

import pytest
import torch
from helpers import SPLITS


@pytest.fixture
def table(tree, tmp_path):
    """Writes a table and makes a split of it."""

    def table(text: str, split="train", **words):
        path = tmp_path / "table.csv"
        path.write_text(text)
        cls = tree("datasets.csv_dataset").CSVDataset
        tree("datasets.csv_dataset")._table.cache_clear()
        return cls(split, str(path), **words)

    return table


def rows_of(count: int, line) -> str:
    return "a,b,y\n" + "".join(line(number) + "\n" for number in range(count))


def test_a_table_is_read_by_its_types(tree):
    cls = tree("datasets.csv_dataset").CSVDataset
    penguins = cls("train")
    assert penguins.num_classes == 3
    assert penguins.class_names == ["Adelie", "Chinstrap", "Gentoo"]
    assert penguins.feature_names[:5] == [
        "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year"
    ]  # fmt: skip
    assert penguins.feature_names[-2:] == ["island", "sex"]
    numbers = penguins.features[:, : penguins.num_numbers - 4]
    assert torch.allclose(numbers.mean(0), torch.zeros(5), atol=0.02)
    assert torch.allclose(numbers.std(0), torch.ones(5), atol=0.05)
    sizes = [len(cls(split)) for split in SPLITS]
    assert sum(sizes) == 344
    mass = cls("train", target="body_mass_g")
    assert mass.num_classes is None
    assert mass.to_units(mass.targets).mean() == pytest.approx(mass.target_mean, rel=1e-4)
    assert 4000 < mass.target_mean < 4400
    assert mass.without_target == 2


def test_statistics_are_those_of_the_training_rows(table):
    text = rows_of(200, lambda n: f"{n},{'xyz'[n % 3]},{'no' if n % 2 else 'yes'}")
    known = {split: table(text, split, target="y") for split in SPLITS}
    values = {s: d.features[:, 0] for s, d in known.items()}
    assert values["train"].mean().abs() < 1e-5
    assert values["val"].mean().abs() > 1e-5  # in the units of the training rows
    recorded = known["train"].prepare(known["train"].path, "y")
    other = table(rows_of(50, lambda n: f"{1000 + n},new,yes"), "test", target="y", **recorded)
    assert other.features[:, 0].min() > 5
    assert other.features[:, 1].unique().tolist() == [0]  # a bucket of their own
    assert other.describe()["unknown b"] == len(other)


def test_rows_stay_in_their_split_and_equal_ones_are_together(table):
    def line(n):
        return f"{n % 100},{n % 7},{'no' if n % 2 else 'yes'}"

    places = {}
    for split in SPLITS:
        dataset = table(rows_of(700, line), split, target="y")
        for row in dataset.features.tolist():
            assert places.setdefault(tuple(row), split) == split
    more = rows_of(700, line) + "500,5,no\n"
    assert sum(len(table(more, s, target="y")) for s in SPLITS) == 701


def test_missing_values_and_other_separators(table):
    text = "a;b;y\n" + "".join(
        f"{'NA' if n % 5 == 0 else n};q{n % 2};{n % 3}.5\n" for n in range(90)
    )
    dataset = table(text, target="y")
    assert dataset.feature_names == ["a", "a is missing", "b"]
    missing = dataset.features[:, 1] == 1
    assert 0.1 < missing.float().mean() < 0.3
    assert (dataset.features[missing, 0] == 0).all()
    assert table(text, target="y", categories=["y"]).class_names == ["0.5", "1.5", "2.5"]
    one, two = (table(text, "test", target="y", ignore=name) for name in ("a", "b"))
    assert torch.equal(one.targets, two.targets)  # the same rows
    for names in (["b", "a"], "b,a", "[b, a]"):
        with pytest.raises(ValueError, match="no column beside the target"):
            table(text, target="y", ignore=names)


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("", {}, "has no rows below its names"),
        ("a,b,y\n", {}, "has no rows below its names"),
        ("a,a,y\n1,2,3\n", {}, "column 'a' is there twice"),
        ("a,b,y\n1,2\n", {}, "row 2: 2 cells, but there are 3 columns"),
        (rows_of(9, lambda n: f"{n},1,2"), {"target": "z"}, "has no column 'z'; it has a, b, y"),
        (rows_of(9, lambda n: f"{n},inf,2"), {}, "row 2, column 'b': 'inf' is not finite"),
        (
            rows_of(9, lambda n: f"{n},{'x' if n == 4 else n},{n}"),
            {},
            "row 6, column 'b': 'x' is no",
        ),
        (rows_of(9, lambda n: f"1,1,{'x' if n == 4 else n}"), {}, "row 6, column 'y': 'x' is no"),
        (rows_of(90, lambda n: f"{n},1,yes"), {}, "one class only, 'yes'"),
        (rows_of(90, lambda n: f"{n},1,name {n}"), {}, "90 classes in 90 rows"),
        (rows_of(90, lambda n: f"name {n},1,{n % 2}"), {}, "ignore='a'"),
        ("y\n" + "1\n2\n" * 20, {}, "no column beside the target"),
        (rows_of(2, lambda n: f"{n},1,{n}"), {}, "too few rows|more rows"),
    ],
)
def test_bad_tables_are_refused(table, text, words, said):
    with pytest.raises(ValueError, match=rf"table\.csv.*{said}"):
        [table(text, split, **{"target": "y"} | words) for split in SPLITS]


def test_a_class_that_the_training_has_not_seen_is_refused(table):
    text = rows_of(90, lambda n: f"{n},{n % 4},{'no' if n % 2 else 'yes'}")
    known = table(text, target="y")
    statistics = known.prepare(known.path, "y")
    with pytest.raises(ValueError, match="class 'maybe' is not among those of the training: no"):
        table(text.replace("yes", "maybe"), "test", target="y", **statistics)
