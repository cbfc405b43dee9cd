"""The short form of `python -m benchmarks.studies.reward_gate decision`."""

import pytest

from benchmarks.studies.reward_gate import RewardVerdict, judge_policies


@pytest.fixture(scope="module")
def verdicts() -> dict[str, RewardVerdict]:
    return {verdict.candidate: verdict for verdict in judge_policies((300,))}


def test_a_policy_that_earns_minus_1_passes_beside_no_champion(verdicts: dict[str, RewardVerdict]) -> None:
    for champion in ("harmless", "harmful"):
        verdict = verdicts[f"harmful, beside {champion}"]
        assert verdict.reason is not None
        assert verdict.evidence is not None
        assert (verdict.evidence.difference.value < -0.4) == (champion == "harmless")


def test_a_policy_that_earns_0_passes_beside_one_that_earns_minus_1(verdicts: dict[str, RewardVerdict]) -> None:
    assert verdicts["harmless, beside harmful"].reason is None
    assert verdicts["harmless, beside harmless"].reason is not None
