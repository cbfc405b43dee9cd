import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models import off_policy
from models.contributions import Contributions


def drawn(seed: int, count: int = 60) -> Contributions:
    """Decisions of ten entities, valued by self-normalised IPS."""
    rng = np.random.default_rng(seed)
    weights, rewards = rng.gamma(1.0, 1.0, count), rng.random(count)
    clusters = np.resize(np.arange(10), count)
    return Contributions(np.arange(count).astype(np.str_), weights * rewards, weights, weights, rewards, clusters)


@given(st.integers(0, 1_000))
def test_a_part_has_the_value_that_its_decisions_alone_would_have(seed: int) -> None:
    every = drawn(seed)
    part = every.at(np.flatnonzero(every.rewards > 0.5))
    alone = off_policy.snips(part.rewards, part.weights).by_cluster(part.clusters)
    np.testing.assert_allclose(part.estimate.interval(), alone.interval())


@given(st.integers(0, 1_000))
def test_the_value_of_all_is_the_mean_of_those_of_disjoint_parts_by_their_masses(seed: int) -> None:
    every = drawn(seed)
    parts = [every.at(places) for places in np.array_split(np.random.default_rng(seed).permutation(60), 4)]
    masses = [part.mass.sum() for part in parts]
    np.testing.assert_allclose(
        np.average([part.estimate.value for part in parts], weights=masses), every.estimate.value
    )


def test_clusters_of_a_part_are_numbered_anew() -> None:
    part = drawn(0).at(np.array([3, 13, 7]))
    assert part.clusters.tolist() == [0, 0, 1]
    assert part.ids.tolist() == ["3", "13", "7"]
    assert len(part.estimate.influence) == 2
