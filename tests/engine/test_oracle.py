"""Index prices from feeds: medians, what is dropped and why, dislocation, and what all of it does to the policy."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from crossmargin.analysis.replay import environment_at
from crossmargin.errors import InputError, InputErrors
from crossmargin.liquidation.price import liquidation_prices
from crossmargin.liquidation.rule import Rule
from crossmargin.loading import Parameters, load_margin_model, load_parameters
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.history import PriceHistory
from crossmargin.market.prices import Market
from crossmargin.market.scenarios import ScanRange, Scenario
from crossmargin.models import build_policy, parse_model, rebuild_policy
from crossmargin.models.base import MarginModel
from crossmargin.models.oracle import OracleRule, Resolution, ResolvedPrice, resolve, widened
from crossmargin.models.policies import check_environment
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Policy

WriteFolder = Callable[..., Path]
Files = Mapping[str, str]

NOW = datetime(2025, 3, 28, 8, tzinfo=UTC)

RULE: dict[str, Any] = {
    "staleness_seconds": 60,
    "minimum_sources": 3,
    "outlier": "0.02",
    "confidence_limit": "0.01",
    "confidence_multiple": "2",
    "divergence": {"perpetual": "0.01", "future": "0.05", "average": "0.03"},
    "dislocated": "widen",
    "maximum_widening": "0.1",
}

Quote = tuple[str, str, str, int]
"""Source, price, confidence, age in seconds."""

GOOD: list[Quote] = [("A", "85000", "17", 0), ("B", "85010", "8.5", 5), ("C", "84990", "34", 20)]


def rule(**changes: Any) -> OracleRule:
    data = {**RULE, **changes}
    return OracleRule.model_validate({name: value for name, value in data.items() if value is not None})


def feed(quote: Quote) -> dict[str, Any]:
    source, price, confidence, age = quote
    return {"source": source, "price": price, "confidence": confidence, "time": NOW - timedelta(seconds=age)}


def fed(
    parameters: Parameters, quotes: Sequence[Quote], average: str | None = "85000", name: str = "BTC"
) -> MarketEnvironment:
    """Return the environment with one index price exchanged for feeds."""
    data = parameters.market.model_dump(exclude_none=True)
    del data["index"][name]
    data["feeds"] = {name: {"sources": [feed(quote) for quote in quotes]}}
    if average is not None:
        data["feeds"][name]["average"] = average
    return MarketEnvironment(parameters.catalogue, Market.model_validate(data))


def resolved(resolution: Resolution, name: str = "BTC") -> ResolvedPrice:
    [found] = [each for each in resolution.prices if each.name == name]
    return found


def with_oracle(parameters: Parameters, **changes: Any) -> MarginModel:
    data = parameters.model.model_dump(mode="json", exclude_none=True)
    return parse_model({**data, "oracle": rule(**changes).model_dump(mode="json", exclude_none=True)})


def test_median_price_sources_and_time(parameters: Parameters) -> None:
    resolution = resolve(fed(parameters, GOOD), rule())
    assert resolution.problems == ()
    quote = resolution.environment.market.index["BTC"]
    assert quote.price == Decimal("85000")
    assert quote.source == "median of 3: A, B, C"
    assert quote.time == NOW - timedelta(seconds=20)
    found = resolved(resolution)
    # Relative confidences 0.0002, 0.0001 and 0.0004; no distance beyond its limit.
    assert found.confidence == Fraction(17, 85000)
    assert (found.excess, found.widening) == (0, Decimal("0.0004"))
    assert resolution.environment.widening == {"BTC": Decimal("0.0004")}


def test_median_of_an_even_number_is_the_mean_of_the_middle_ones(parameters: Parameters) -> None:
    quotes = [*GOOD, ("D", "85003.000000000000000000000000000001", "0", 0)]
    found = resolved(resolve(fed(parameters, quotes), rule()))
    assert found.price == Decimal("85001.5000000000000000000000000000005")
    assert found.confidence == (Fraction(17, 85000) + Fraction("8.5") / 85010) / 2


def test_what_is_dropped_is_reported_with_the_reason(parameters: Parameters) -> None:
    quotes = [
        *GOOD,
        ("stale", "85000", "1", 61),
        ("future", "85000", "1", -1),
        ("vague", "85000", "851", 0),
        ("away", "86800", "1", 0),
    ]
    resolution = resolve(fed(parameters, quotes), rule())
    assert resolved(resolution).price == Decimal(85000)
    assert resolution.report["BTC"] == {
        "price": "85000",
        "confidence": "1/5000",
        "excess": "0",
        "widening": "0.0004",
        "used": ["A", "B", "C"],
        "dropped": [
            {"source": "stale", "reason": "stale: 61 s old"},
            {"source": "future", "reason": "dated after as_of"},
            {"source": "vague", "reason": "too uncertain: 1.001 % of the price"},
            {"source": "away", "reason": "outlier: 2.112 % from the median"},
        ],
    }


def test_limits_belong_to_what_is_allowed(parameters: Parameters) -> None:
    """A feed exactly as old, as uncertain and as far away as the limits allow is used."""
    quotes = [("A", "100", "1", 60), ("B", "100", "0", 0), ("C", "102", "0", 0)]
    assert len(resolved(resolve(fed(parameters, quotes), rule())).used) == 3


prices = st.integers(84_000_00, 86_000_00).map(lambda cents: f"{cents // 100}.{cents % 100:02d}")
anything = st.sampled_from(["0.01", "1", "84500", "85000", "85500", "86500", "90000", "1000000000"]) | prices


@given(honest=st.lists(prices, min_size=2, max_size=6), manipulated=anything, data=st.data())
def test_one_manipulated_source_stays_within_the_honest_ones(
    parameters: Parameters, honest: list[str], manipulated: str, data: st.DataObject
) -> None:
    """Unless too few are left to be used, which is refused here."""
    place = data.draw(st.integers(0, len(honest)))
    stated = [*honest[:place], manipulated, *honest[place:]]
    quotes: list[Quote] = [(f"source {number}", price, "0", 0) for number, price in enumerate(stated)]
    outlier = data.draw(st.sampled_from(["0.001", "0.01", "0.5"]))
    strict = rule(dislocated="refuse", outlier=outlier, divergence=None)
    resolution = resolve(fed(parameters, quotes), strict)
    if not resolution.problems:
        values = sorted(Fraction(price) for price in honest)
        assert values[0] <= Fraction(resolved(resolution).price) <= values[-1]
    if outlier == "0.5" and len(honest) >= 3:
        assert not resolution.problems


@given(honest=st.lists(prices, min_size=3, max_size=7), bad=st.lists(anything, max_size=3), data=st.data())
def test_a_minority_stays_within_the_others(
    parameters: Parameters, honest: list[str], bad: list[str], data: st.DataObject
) -> None:
    bad = bad[: len(honest) - 1]
    order = data.draw(st.permutations([*honest, *bad]))
    quotes: list[Quote] = [(f"source {number}", price, "0", 0) for number, price in enumerate(order)]
    wide = rule(outlier="0.999999", dislocated="refuse", divergence=None)
    found = resolved(resolve(fed(parameters, quotes), wide))
    if len(found.used) == len(quotes):
        assert found.price == median(Fraction(price) for price in order)
        assert min(map(Fraction, honest)) <= Fraction(found.price) <= max(map(Fraction, honest))


@given(st.permutations(["A", "B", "C", "D", "E"]))
def test_the_order_of_feeds_does_not_matter(parameters: Parameters, order: list[str]) -> None:
    quotes = {name: (name, f"{85000 + 7 * number}", str(number), number) for number, name in enumerate("ABCDE")}
    found = resolved(resolve(fed(parameters, [quotes[name] for name in order]), rule()))
    assert (found.price, found.confidence) == (Decimal(85014), Fraction(2, 85014))
    assert found.widening == Decimal("0.000048")


def widening_of(environment: MarketEnvironment, **changes: Any) -> Decimal:
    resolution = resolve(environment, rule(**changes))
    assert resolution.problems == ()
    return resolved(resolution).widening


def test_widening_adds_confidence_and_the_greatest_excess(parameters: Parameters) -> None:
    # The average is 4 % above the index, the limit 3 %; twice a confidence of 0.02 % is added.
    assert widening_of(fed(parameters, GOOD, average="88400")) == Decimal("0.0104")
    # Marks are within 0.012 % of the index, so 0.001 % as limit leaves an excess of 10/85000 - 0.00001, rounded up.
    strict = {"divergence": {"perpetual": "0.00001"}}
    assert widening_of(fed(parameters, GOOD), **strict) == Decimal("0.000508")


@given(
    confidences=st.lists(st.integers(0, 300), min_size=3, max_size=3),
    more=st.integers(0, 500),
    average=st.integers(80000, 85000),
    lower=st.integers(0, 5000),
)
def test_widening_is_monotone_and_bounded(
    parameters: Parameters, confidences: list[int], more: int, average: int, lower: int
) -> None:
    def of(added: int, average: int, sources: int = 3) -> Decimal:
        quotes: list[Quote] = [
            (name, "85000", str(confidence + added), 0) for name, confidence in zip("ABC", confidences, strict=True)
        ]
        environment = fed(parameters, quotes[:sources], average=str(average))
        return widening_of(environment, confidence_limit=None)

    before = of(0, average)
    assert 0 <= before <= of(more, average) <= Decimal("0.1")
    assert before <= of(0, average - lower) <= Decimal("0.1")
    assert of(0, average, sources=2) == Decimal("0.1")


def test_refuse_names_sources_figures_and_hint(parameters: Parameters) -> None:
    few = [GOOD[0], GOOD[1], ("C", "84990", "34", 90)]
    cases = [
        (few, "85000", "BTC has 2 usable sources of 3 needed: A, B; dropped C (stale: 90 s old)"),
        (GOOD, "88400", "its index price 85000 USD is 4 % from its moving average, the limit is 3 % (used: A, B, C)"),
    ]
    for quotes, average, reason in cases:
        [problem] = resolve(fed(parameters, quotes, average), rule(dislocated="refuse")).problems
        assert problem.field == "feeds.BTC"
        assert reason in problem.reason
        assert problem.hint
    [problem] = resolve(fed(parameters, GOOD), rule(dislocated="refuse", divergence={"perpetual": "0.0001"})).problems[
        :1
    ]
    assert "0.01176 % from the mark of BTC_USDC-PERPETUAL, the limit is 0.01 %" in problem.reason
    [problem] = resolve(fed(parameters, GOOD), rule(dislocated="refuse", maximum_widening="0.0003")).problems
    assert "2 times a confidence of 0.02 % is above maximum_widening, 0.03 %" in problem.reason


@pytest.mark.parametrize("dislocated", ["refuse", "widen"])
def test_without_any_usable_feed_there_is_no_price(parameters: Parameters, dislocated: str) -> None:
    [problem] = resolve(fed(parameters, [("A", "85000", "1", 61)]), rule(dislocated=dislocated)).problems
    assert "no feed of BTC can be used: A (stale: 61 s old)" in problem.reason
    with pytest.raises(InputError, match="no feed of BTC"):
        build_policy(
            "test", fed(parameters, [("A", "1", "0", 61)]), with_oracle(parameters, dislocated=dislocated), "initial"
        )


def test_average_is_needed_where_it_is_compared(parameters: Parameters) -> None:
    [problem] = resolve(fed(parameters, GOOD, average=None), rule()).problems
    assert (problem.field, problem.reason) == ("feeds.BTC.average", "no moving average of BTC")
    assert resolve(fed(parameters, GOOD, average=None), rule(divergence={"perpetual": "0.01"})).problems == ()


def test_a_plain_price_is_compared_with_marks_too(parameters: Parameters) -> None:
    """Linear marks are in the settlement asset: a coin that fell takes them along."""
    index = parameters.market.index
    low = {**index, "USDC": index["USDC"].model_copy(update={"price": Decimal("0.9")})}
    environment = MarketEnvironment(parameters.catalogue, parameters.market.model_copy(update={"index": low}))
    found = resolved(resolve(environment, rule(divergence={"perpetual": "0.01"})))
    assert found.excess == 1 - Fraction(85010 * 9, 850000) - Fraction(1, 100)


def test_policy_is_that_of_the_median_and_of_the_wider_range(parameters: Parameters) -> None:
    """The same integers as with the price and the range stated outright."""
    model = with_oracle(parameters)
    policy = build_policy("test", fed(parameters, GOOD, average="88400"), model, "initial")
    scan = {name: each.model_dump(mode="json") for name, each in parameters.model.scan.items()}  # type: ignore[attr-defined]
    scan["BTC"]["price_range"] = "0.1604"
    data = parameters.model.model_dump(mode="json", exclude_none=True)
    stated = build_policy("test", parameters.environment, parse_model({**data, "scan": scan}), "initial")
    assert policy.arrays == stated.arrays
    assert policy.definitions == stated.definitions
    assert policy.inputs["oracle"]["BTC"]["widening"] == "0.0104"
    assert "BTC" not in policy.inputs["market"]["index"]


@pytest.mark.parametrize("statement", ["initial", "coverage"])
def test_policy_is_computed_again_from_the_feeds(parameters: Parameters, statement: str) -> None:
    policy = build_policy("test", fed(parameters, GOOD), with_oracle(parameters), statement)
    again = Policy.decode(policy.encoded)
    assert rebuild_policy(again) == again == policy


@pytest.mark.parametrize("statement", ["initial", "coverage"])
@pytest.mark.parametrize(
    "other",
    [
        [("A", "85000", "17", 0), ("B", "85010", "8.5", 5), ("C", "84991", "34", 20)],
        [("A", "85000", "17", 0), ("B", "85010", "8.5", 6), ("C", "84990", "34", 20)],
        [("A", "85000", "17", 0), ("B", "85010", "8.6", 5), ("C", "84990", "34", 20)],
        [("A", "85000", "17", 0), ("B", "85010", "8.5", 5), ("D", "84990", "34", 20)],
        [*GOOD, ("E", "1", "0", 0)],
        GOOD[::-1],
    ],
    ids=["price", "time", "confidence", "source", "dropped", "order"],
)
def test_every_feed_is_under_the_digest(parameters: Parameters, statement: str, other: list[Quote]) -> None:
    """Even what moves neither the price nor the requirement: a feed that is dropped, or not in the middle."""
    model = with_oracle(parameters)
    before = build_policy("test", fed(parameters, GOOD), model, statement)
    after = build_policy("test", fed(parameters, other), model, statement)
    assert [array.coefficients for array in before.arrays] == [array.coefficients for array in after.arrays]
    assert before.digest != after.digest
    assert rebuild_policy(after) == after


def test_a_report_that_is_not_of_the_feeds_is_not_computed_again(parameters: Parameters) -> None:
    policy = build_policy("test", fed(parameters, GOOD), with_oracle(parameters), "initial")
    forged = {**policy.inputs["oracle"]["BTC"], "used": ["A", "B", "C", "Z"]}
    other = Policy(**{**vars_of(policy), "inputs": {**policy.inputs, "oracle": {"BTC": forged}}})
    assert rebuild_policy(other) != other


def vars_of(policy: Policy) -> dict[str, Any]:
    names = (
        "kind",
        "venue",
        "title",
        "as_of",
        "value_unit",
        "layout",
        "arrays",
        "definitions",
        "constraints",
        "inputs",
    )
    return {name: getattr(policy, name) for name in names}


def test_an_environment_that_is_moved_keeps_its_widening(parameters: Parameters) -> None:
    model = with_oracle(parameters)
    environment = resolve(fed(parameters, GOOD, average="88400"), model.oracle).environment
    moved = environment.moved(Scenario(1, "fall", {"BTC": Fraction(-1, 2)}, {}))
    assert moved.market.feeds is None
    assert moved.market.index["BTC"].price == Decimal(42500)
    assert resolve(moved, model.oracle).environment is moved
    arrays = {array.name: array for array in build_policy("test", moved, model, "initial").arrays}
    column = moved.catalogue.layout().index("balance", "BTC")  # type: ignore[arg-type]
    # Scenario 14 is the whole range down: 16.04 % of half the price, in quanta a satoshi.
    assert arrays["pnl 14"].coefficients[column] == round(-0.1604 * 42500)


def test_an_asset_without_a_scan_range_is_given_one(parameters: Parameters) -> None:
    quotes: list[Quote] = [(name, "1", "0.005", 0) for name in "ABC"]
    environment = fed(parameters, quotes, average="1", name="USDC")
    model = with_oracle(parameters)
    assert resolve(environment, model.oracle).environment.widening == {"USDC": Decimal("0.01")}
    policy = build_policy("test", environment, model, "initial")
    column = policy.layout.index("balance", "USDC")  # type: ignore[arg-type]
    down = next(array for array in policy.arrays if array.name == "pnl 14")
    assert down.coefficients[column] == -1


def test_widened_ranges_stay_below_one(parameters: Parameters) -> None:
    wide = {"BTC": ScanRange(price_range=Decimal("0.95"), volatility_up=Decimal(0), volatility_down=Decimal(0))}
    with pytest.raises(InputError, match=r"a price range of 1\.00, 0\.05 of it by the oracle rule"):
        widened(parameters.catalogue, wide, {"BTC": Decimal("0.05")})
    assert widened(parameters.catalogue, wide, None) == wide


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"maximum_widening": None}, "maximum_widening", "has no bound"),
        ({"outlier": "1"}, "outlier", "not in 0 < value < 1"),
        ({"outlier": "0"}, "outlier", "not in 0 < value < 1"),
        ({"minimum_sources": 0}, "minimum_sources", "greater than or equal"),
        ({"staleness_seconds": 0}, "staleness_seconds", "greater than or equal"),
        ({"confidence_multiple": "-1"}, "confidence_multiple", "not in 0"),
        ({"dislocated": "ignore"}, "dislocated", "'refuse' or 'widen'"),
        ({"divergence": {"spot": "0.1"}}, "divergence.spot", "unknown field"),
    ],
)
def test_refused_rules(
    write_folder: WriteFolder, files: Files, change: dict[str, Any], field: str, reason: str
) -> None:
    data = {name: value for name, value in {**RULE, **change}.items() if value is not None}
    text = files["model.yaml"] + f"oracle: {data!r}\n".replace("'", '"')
    with pytest.raises(InputErrors) as caught:
        load_parameters(write_folder({"model.yaml": text}))
    [problem] = caught.value.problems
    assert (problem.file, problem.line, problem.field) == ("model.yaml", 13, f"oracle.{field}")
    assert reason in problem.reason
    assert problem.hint


def test_models_without_ranges_refuse_to_widen(parameters: Parameters) -> None:
    class Flat(MarginModel):
        pass

    data = parameters.model.model_dump(mode="json", exclude_none=True, exclude={"scan", "extreme"})
    widens = Flat.model_validate({**data, "oracle": RULE})
    [problem] = widens.check(parameters.environment)
    assert (problem.field, "no scan ranges" in problem.reason) == ("oracle", True)
    refuses = {**RULE, "dislocated": "refuse", "confidence_multiple": "0"}
    assert Flat.model_validate({**data, "oracle": refuses}).check(parameters.environment) == []


FEEDS = """\
feeds:
  BTC:
    average: "85000"
    sources:
      - {source: A, price: "85000", confidence: "17", time: 2025-03-28T08:00:00Z}
      - {source: B, price: "85010", confidence: "8.5", time: 2025-03-28T07:59:55Z}
      - {source: C, price: "84990", confidence: "34", time: 2025-03-28T07:59:40Z}
"""


@pytest.fixture
def fed_files(files: Files) -> dict[str, str]:
    lines = [line for line in files["market.yaml"].splitlines(keepends=True) if not line.startswith("  BTC: ")]
    oracle = f"oracle: {RULE!r}\n".replace("'", '"')
    return {**files, "market.yaml": "".join(lines) + FEEDS, "model.yaml": files["model.yaml"] + oracle}


def test_a_folder_with_feeds_loads_resolved(write_folder: WriteFolder, fed_files: Files) -> None:
    parameters = load_parameters(write_folder(fed_files))
    assert parameters.market.index["BTC"].price == Decimal(85000)
    assert parameters.environment.widening == {"BTC": Decimal("0.0004")}
    assert check_environment(parameters.environment, parameters.model) == []
    policy = build_policy("test", parameters.environment, parameters.model, "initial")
    assert rebuild_policy(Policy.decode(policy.encoded)) == policy


@pytest.mark.parametrize(
    ("file", "find", "put", "line", "field", "reason"),
    [
        ("market.yaml", 'B, price: "85010"', 'B, price: "0"', 16, "feeds.BTC.sources[1].price", "not positive"),
        ("market.yaml", 'confidence: "8.5"', 'confidence: "-1"', 16, "feeds.BTC.sources[1].confidence", "negative"),
        ("market.yaml", 'confidence: "8.5", ', "", 16, "feeds.BTC.sources[1].confidence", "missing"),
        ("market.yaml", "source: B", "source: A", 16, "feeds.BTC.sources[1].source", "A twice"),
        ("market.yaml", "source: B", "source: ''", 16, "feeds.BTC.sources[1].source", "not a line of text"),
        ("market.yaml", "T07:59:55Z", "T07:59:55", 16, "feeds.BTC.sources[1].time", "time zone"),
        ("market.yaml", "  BTC:\n", "  DOGE:\n", 13, "feeds.DOGE", "not an asset"),
        ("market.yaml", "  BTC:\n", "  SOL:\n", 13, "feeds.SOL", "SOL has a price and feeds"),
        ("market.yaml", "T07:59:40Z", "T07:58:59Z", 13, "feeds.BTC", "2 usable sources of 3 needed"),
        ("market.yaml", '    average: "85000"\n', "", 13, "feeds.BTC.average", "no moving average"),
    ],
)  # fmt: skip
def test_refused_feeds(
    write_folder: WriteFolder,
    fed_files: dict[str, str],
    file: str,
    find: str,
    put: str,
    line: int,
    field: str,
    reason: str,
) -> None:
    fed_files["model.yaml"] = fed_files["model.yaml"].replace('"widen"', '"refuse"')
    assert fed_files[file].count(find) == 1
    fed_files[file] = fed_files[file].replace(find, put)
    with pytest.raises(InputErrors) as caught:
        load_parameters(write_folder(fed_files))
    problem = next(each for each in caught.value.problems if each.field == field)
    assert (problem.file, problem.line) == (file, line)
    assert reason in problem.reason
    assert problem.hint


def test_feeds_without_a_rule_are_refused(write_folder: WriteFolder, files: Files, fed_files: dict[str, str]) -> None:
    with pytest.raises(InputErrors, match=r"market.yaml, line 13, feeds.BTC: feeds without a rule; add oracle"):
        load_parameters(write_folder({**fed_files, "model.yaml": files["model.yaml"]}))


EXAMPLES = Path(__file__).parents[2] / "examples"
ARCHITECTURES = sorted(path.stem for path in (EXAMPLES / "models").glob("*.yaml"))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_with_ranges_is_widened(name: str) -> None:
    """An uncertain price of BTC, and of USDC, which has no scan range, changes charges and leaves the rest as it is."""
    book = load_parameters(EXAMPLES / "book")
    model = load_margin_model(EXAMPLES / "models" / f"{name}.yaml").model_copy(update={"oracle": None})
    if not model.WIDENS:
        pytest.skip(f"{model.title} has no scan ranges")
    data = book.market.model_dump(exclude_none=True)
    data["feeds"] = {}
    for asset, confidence in (("BTC", "85"), ("USDC", "0.001")):
        price = str(data["index"].pop(asset)["price"])
        quotes: list[Quote] = [(source, price, confidence, 0) for source in "ABC"]
        data["feeds"][asset] = {"sources": [feed(quote) for quote in quotes]}
    environment = MarketEnvironment(book.catalogue, Market.model_validate(data), book.history, book.crowding)
    uncertain = model.model_copy(update={"oracle": rule(divergence=None)})
    assert check_environment(environment, uncertain) == []
    before = {array.name: array for array in build_policy("test", book.environment, model, "initial").arrays}
    policy = build_policy("test", environment, uncertain, "initial")
    assert rebuild_policy(Policy.decode(policy.encoded)) == policy
    after = {array.name: array for array in policy.arrays}
    changed = {each for each in before if before[each].coefficients != after[each].coefficients}
    assert before.keys() <= after.keys()
    assert changed
    assert not any(each.startswith(("value ", "collateral ")) for each in changed)


def test_a_folder_with_plain_prices_that_are_dislocated_can_be_computed_again(
    write_folder: WriteFolder, files: Files
) -> None:
    """What a mark adds to the ranges stands in the report, feeds or not."""
    near = str({**RULE, "divergence": {"perpetual": "0.000001"}}).replace("'", '"')
    parameters = load_parameters(write_folder({**files, "model.yaml": f"{files['model.yaml']}oracle: {near}\n"}))
    policy = build_policy("test", parameters.environment, parameters.model, "initial")
    assert Decimal(policy.inputs["oracle"]["BTC"]["widening"]) > 0
    assert rebuild_policy(Policy.decode(policy.encoded)) == policy


def test_another_rule_is_not_given_the_widening_of_the_first(parameters: Parameters) -> None:
    """A book is read under other models than its own: each has its own limits."""
    first, second = with_oracle(parameters), with_oracle(parameters, divergence={"perpetual": "0.000001"})
    plain = MarketEnvironment(parameters.catalogue, parameters.market)
    direct = build_policy("test", plain, second, "initial")
    assert direct.inputs["oracle"]
    assert build_policy("test", resolve(plain, first.oracle).environment, second, "initial") == direct


@pytest.mark.parametrize(
    "change", [{}, {"dislocated": "refuse", "divergence": {"perpetual": "0.01"}}], ids=["widen", "refuse"]
)
def test_liquidation_prices_keep_the_widening_of_the_feeds(parameters: Parameters, change: dict[str, Any]) -> None:
    """A mark that is moved to see where an account ends is no dislocation."""
    name, model = "BTC_USDC-PERPETUAL", with_oracle(parameters, **change)
    environment = fed(parameters, GOOD, average="85000")
    layout = parameters.catalogue.layout()
    record = np.zeros((1, len(layout)), dtype=np.int64)
    record[0, 0] = 1
    record[0, layout.index(ColumnKind.BALANCE, "USDC")] = 10_000_000_000
    record[0, layout.index(ColumnKind.ENTRY, "USDC")] = 8_500_000_000
    record[0, layout.index(ColumnKind.POSITION, name)] = -100
    [found] = liquidation_prices(Rule("test", model, "maintenance"), environment, csr_array(record)).prices
    # The same with the resolved price and the wider range stated outright, without an oracle.
    now = resolve(environment, model.oracle).environment
    data = parameters.model.model_dump(mode="json", exclude_none=True)
    for each, added in (now.widening or {}).items():
        data["scan"][each]["price_range"] = str(Decimal(data["scan"][each]["price_range"]) + added)
    stated = MarketEnvironment(now.catalogue, now.market.model_copy(update={"feeds": None}))
    [expected] = liquidation_prices(Rule("test", parse_model(data), "maintenance"), stated, csr_array(record)).prices
    assert found == expected > 85000


def test_a_path_keeps_the_widening_of_the_feeds(parameters: Parameters) -> None:
    """Of other days no feed is known; what holds now is not left out there."""
    environment = resolve(fed(parameters, GOOD, average="88400"), rule()).environment
    prices = {"BTC": (Decimal(80000), Decimal(70000))}
    path = PriceHistory(times=(NOW - timedelta(days=1), NOW), prices=prices)
    there = environment_at(environment, path, 0, ["BTC"])
    assert there.market.index["BTC"].price == Decimal(80000)
    assert resolve(there, rule()).environment.widening == environment.widening == {"BTC": Decimal("0.0104")}
