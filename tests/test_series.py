"""Time series: windows and what follows them, equal steps, what is refused."""

from __future__ import annotations

import pytest
import torch
from helpers import everything


@pytest.fixture
def series(tree, tmp_path):
    def series(text: str, split="train", **words):
        path = tmp_path / "series.csv"
        path.write_text(text)
        tree("datasets.time_series_dataset")._read.cache_clear()
        small = {"window": 4, "horizon": 2, "season": 3} | words
        return tree("datasets.time_series_dataset").TimeSeriesDataset(split, str(path), **small)

    return series


def steps_of(count: int, line) -> str:
    return "date,u,v\n" + "".join(line(number) + "\n" for number in range(count))


def test_windows_and_what_follows_them(series):
    text = steps_of(100, lambda n: f"{n},{n},{(n % 3) * 10}")
    for split, (low, high) in {"train": (4, 70), "val": (70, 80), "test": (80, 100)}.items():
        dataset = series(text, split)
        assert dataset.series_names == ["u", "v"]
        windows, targets = everything(dataset)
        assert windows.shape == (high - low - 1, 4, 2)
        both = dataset.to_units(torch.cat((windows, targets), 1))
        first = torch.arange(low - 4.0, high - 5).double()
        expected = first[:, None] + torch.arange(6)
        torch.testing.assert_close(both[..., 0], expected, rtol=0, atol=1e-4)
        naive = dataset.to_units(dataset.seasonal_naive())
        torch.testing.assert_close(naive[..., 1], both[:, 4:, 1], rtol=0, atol=1e-4)
        assert torch.allclose(naive[..., 0], both[:, 4:, 0] - 3, atol=1e-4)
        assert dataset.naive_error.tolist() == [3, 0]
        train = series(text).to_units(series(text).values[:70])
        assert torch.allclose(dataset.mean, train.mean(0))


@pytest.mark.parametrize(
    "date",
    [
        lambda n: f"{2000 + n}",
        lambda n: f"{2000 + n // 12}-{n % 12 + 1:02d}",
        lambda n: f"{2000 + n // 12}-{n % 12 + 1:02d}-01",
        lambda n: f"{2000 + n // 4}-{3 * (n % 4) + 3:02d}-30",
        lambda n: f"2000-01-{n // 24 + 1:02d} {n % 24:02d}:00",
        lambda n: f"200001{n // 4 + 1:02d}" if n % 4 == 0 else None,
        lambda n: f"{n / 10}",
    ],
)
def test_equal_steps_of_every_kind_are_accepted(series, date):
    lines = [date(n) for n in range(100)]
    text = "date,u\n" + "".join(f"{line},{n}\n" for n, line in enumerate(lines) if line)
    assert len(series(text, "test")) > 0


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (
            steps_of(60, lambda n: f"{n + (n > 30)},1,2"),
            {},
            "row 33, .*from '30' to '32' is",
        ),
        (
            steps_of(60, lambda n: f"{n if n != 9 else 3},1,2"),
            {},
            "row 11, .*'3' does not come",
        ),
        (
            steps_of(60, lambda n: f"{n // 2},1,2"),
            {},
            "row 3, .*'0' does not come after",
        ),
        (steps_of(60, lambda n: f"day {n},1,2"), {}, "'day 0' is no number or ISO date"),
        (steps_of(60, lambda n: f"{n},{'' if n == 5 else 1},2"), {}, "row 7, column 'u': '' is no"),
        (steps_of(60, lambda n: f"{n},nan,2"), {}, "row 2, column 'u': 'nan' is no finite number"),
        (steps_of(60, lambda n: f"{n},1,inf"), {}, "row 2, column 'v': 'inf' is no finite number"),
        (
            steps_of(30, lambda n: f"{n},1,2"),
            {"window": 24},
            "train split has 21 steps, too few",
        ),
        (steps_of(60, lambda n: f"{n},1,2"), {"series": ["w"]}, "no column 'w'; it has date, u, v"),
        (steps_of(60, lambda n: f"{n},1,2"), {"time": "t"}, "no column 't'.*time=None"),
        (steps_of(1, lambda n: f"{n},1,2"), {}, "one row only"),
        (steps_of(60, lambda n: f"{n},1,2"), {"window": 0}, "at least 1"),
    ],
)
def test_bad_series_are_refused(series, text, words, said):
    with pytest.raises(ValueError, match=said):
        series(text, **words)


def test_rows_without_a_time_and_single_series(series):
    text = steps_of(60, lambda n: f"day {n},{n},2")
    dataset = series(text, time=None, series=["v"])
    assert dataset.series_names == ["v"]
    assert dataset.values.abs().max() == 0  # of a series that never changes
