"""``iotcache-tui where``: the same answer as the cluster's, without asking a node."""

from __future__ import annotations

import pytest

from iotcache_tui.cli.main import main
from tests.conforming import conforming

NODES = "127.0.0.1:22122,127.0.0.1:22123,127.0.0.1:22124"


def test_the_owner_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["where", "dev:0001", "--nodes", NODES]) == 0
    assert capsys.readouterr().out == "127.0.0.1:22123\n"


def test_the_placement_comes_from_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    main(["where", "sensor/temp/7", "--nodes", NODES, "--set", "cache.placement=rendezvous", "--json"])
    told = conforming("where", capsys.readouterr().out)
    assert told["node"] == "127.0.0.1:22124"
    assert sorted([told["node"], *told["stand_ins"]]) == NODES.split(",")


def test_what_is_no_key_gets_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["where", "no key\r\nflush_all", "--nodes", NODES]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "printable ASCII" in err
