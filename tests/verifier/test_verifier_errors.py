import pytest

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_verifier.protocol.errors import LimitError, MalformedError, RejectedError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RejectedError("V3", "other root"), "V3: other root"),
        (RejectedError("V6", "no", shard=0), "V6, shard 0: no"),
        (RejectedError("V2", "no", statement="coverage"), "V2, statement coverage: no"),
        (RejectedError("V6", "no", 7, "coverage"), "V6, statement coverage, shard 7: no"),
    ],
)
def test_text_names_step_statement_and_shard(error: RejectedError, text: str) -> None:
    assert str(error) == text


def test_families_are_apart() -> None:
    assert issubclass(RejectedError, CrossmarginError)
    assert issubclass(MalformedError, CrossmarginError)
    assert not issubclass(RejectedError, MalformedError)
    assert not issubclass(MalformedError, RejectedError)


def test_a_limit_is_no_finding() -> None:
    assert issubclass(LimitError, CrossmarginError)
    assert not issubclass(LimitError, MalformedError | RejectedError)
