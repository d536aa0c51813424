"""Workload shapes of published clusters and our own classes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from iotcache.errors import UsageError
from iotcache_simulator.readers.shapes import SHAPES, Workload, shape_named
from iotcache_tui.cli.main import main


@pytest.mark.parametrize("name", SHAPES)
def test_a_workload_has_the_mix_popularity_and_sizes_of_its_shape(name: str) -> None:
    shape = shape_named(name)
    workload, twin = Workload(shape, 2_000, 3), Workload(shape, 2_000, 3)
    requests = list(workload.requests(20_000))
    keys = np.concatenate([one.keys for one in requests])
    assert len(keys) == 20_000
    assert np.array_equal(keys, np.concatenate([one.keys for one in twin.requests(20_000)]))
    assert np.mean(np.concatenate([one.writes for one in requests])) == pytest.approx(shape.writes, abs=0.02)
    (_, first), (_, second), *_ = Counter(keys.tolist()).most_common(2)
    harmonic = sum(1.0 / rank**shape.exponent for rank in range(1, 2_001))
    assert first == pytest.approx(20_000 / harmonic, rel=0.4)
    assert second <= first
    assert np.mean(workload.value_bytes) == pytest.approx(shape.value_bytes, rel=0.1)
    assert len(workload.key(7)) == max(shape.key_bytes, 9)
    assert set(workload.ttls_s.tolist()) <= {ttl_s for ttl_s, _ in shape.ttls_s}


def test_an_unknown_workload_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="twitter-29"):
        shape_named("\x1b[31mnone")


def test_readers_take_the_law_of_a_published_cluster_or_another_not_both(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["simulate", "readers", "--workload", "nope"]) == 2
    assert "there are twitter-4" in capsys.readouterr().err
    assert main(["simulate", "readers", "--workload", "twitter-29", "--popularity", "scan"]) == 2
    assert "leave out --popularity" in capsys.readouterr().err
