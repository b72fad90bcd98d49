"""What paired differences say of a claim."""

import pytest

from bitvit.studies import load_study, packaged_studies
from bitvit.studies.study import Row, Study
from bitvit.studies.summary import Spread, Verdict, verdict_of


@pytest.mark.parametrize(
    ("mean", "error", "count", "verdict"),
    [
        (0.5, 0.2, 5, "holds"),
        (0.5, 0.2, 2, "cannot be told"),
        (0.5, None, 1, "cannot be told"),
        (-0.5, 0.2, 5, "does not hold"),
        (0.4, 0.3, 5, "cannot be told"),
        (0.05, 0.1, 5, "does not hold"),
        (0.25, 0.01, 5, "holds"),
    ],
)
def test_verdicts(mean: float, error: float | None, count: int, verdict: Verdict) -> None:
    assert verdict_of(Spread(mean, error, count)) == verdict


def test_claims_name_rows() -> None:
    with pytest.raises(Exception, match="claims: there is no row 'b'"):
        Study("s", "t", (Row("a"),), claims=(("a", "b", "a is better"),))


def test_the_paired_study_has_claims_and_five_seeds() -> None:
    assert "table-iv-64" in packaged_studies()
    study = load_study("table-iv-64")
    assert study.seeds >= 5
    assert len(study.claims) >= 4
