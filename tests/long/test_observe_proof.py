"""Looking at somebody else's cluster changes nothing in it; `make observe-proof` does so for ten minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.long.observe_proof import prove
from tests.store.conftest import Postgres, postgres

__all__ = ["postgres"]
SECONDS = 20.0


@pytest.mark.long
@pytest.mark.real("memcached", "mosquitto", "postgres")
@pytest.mark.parametrize("store", ["postgres", "sqlite"])
def test_nobody_s_counters_move_while_they_are_looked_at(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: Postgres | None = request.getfixturevalue("postgres") if store == "postgres" else None
    assert prove(SECONDS, tmp_path, server) == []
