"""The smallest form of `make advisor-proof`: other TTLs on a real node, as they were predicted."""

from __future__ import annotations

import pytest

from tests.advisor.proof import ttls


@pytest.mark.real("memcached")
def test_what_other_ttls_do_on_a_real_node_is_what_was_predicted() -> None:
    cases = list(ttls(("cold-room",), 5.0, 400))
    assert len({round(case.measured, 3) for case in cases}) > 1, "the TTLs made a difference"
    assert max(case.error for case in cases) < 0.03
