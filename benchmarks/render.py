"""Write docs/benchmarks.md and its plots from measured figures: `python -m benchmarks.render RESULTS DOCS`.

The page says what the figures say: nothing here is measured, and a target is met or missed by comparison alone. A copy
of the figures is put beside the plots, so that the page can be made again from it.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import Any

from benchmarks.figures import Figures, Line, Measured, line_through, processor_seconds, stage_seconds
from benchmarks.plots import draw

__all__ = ["main", "page", "write"]

FIGURES_FILE = "figures.json"
GIGABYTE = 2**30
MEGABYTE = 2**20

LARGE = 10**5
"""Accounts from which on growth is looked at: below, what does not depend on the accounts hides it."""

FAR = 10**7
"""Accounts to which lines are drawn out."""

STATED = 10**6
"""Accounts that the targets are about."""

COLUMNS = {
    "load": "load",
    "evaluate": "evaluate",
    "commit positions": "positions",
    "prove records": "records",
    "rest of commit": "rest of commit",
    "commit slacks": "slack rows",
    "prove shards": "shards",
    "rest of prove": "rest of prove",
    "publish": "publish",
}
"""Stages in the order of a run, with the headings of tables."""

BACKEND_STAGES = ("commit positions", "prove records", "commit slacks", "prove shards")

COUNTED = ("load", "evaluate", "commit positions", "prove records", "commit slacks", "prove shards", "verify")

SIZES = {"targets": "This page is one of SIZE=targets.", "small": "This page is one of SIZE=small."}

INTRODUCTION = """# Benchmarks

This page says what a proof costs, from Parquet tables to a verified bundle, and how far that is from the least its
arithmetic can cost. `make bench` measures everything and writes this page; with SIZE=targets it measures what the
targets below need, and with SIZE=small a small book, whose page it writes to build/bench. {size} `make plots` writes
page and plots again from the figures in [plots/figures.json](plots/figures.json).

{machine}

**How.** The book is made up ([benchmarks/book.py](../benchmarks/book.py)): one asset, linear perpetuals, futures
and options on 4 underlyings, every account solvent, open interest zero. Unless a table says otherwise: 500 columns,
10 positions an account, and one strict statement, maintenance margin with 16 rows and one auxiliary (17 values of
64 bits an account), 4 accounts to a slack row (gamma 2). A run is what `crossmargin run` does with one statement:
load the book, commit it, prove its records, evaluate and prove the statement, publish the bundle, which is verified
before. A verification is what `crossmargin-verify bundle --kernel` does. Each is a fresh process, and the time of the
whole begins with its start; every time is of a single run unless it says otherwise. Peak memory is sampled, and pages
that processes share count in each of them. Rates are of one core: of all cores that work, divided by their number."""

GROWTH = """## From a book to a verified bundle

Seconds, on {cores}. *Positions*, *records*, *slack rows* and *shards* are the work of the backend, spread over worker
processes, which derive the generators and build their tables for the first time in it. The rest of commit has the tree
and what is written; the rest of prove the compilation of the policy, the trees and the opening of the totals."""

STATEMENTS = """## Three statements

{accounts:,} accounts, on {cores}. After the bundle of one statement the same vault proves two more, initial margin and
coverage, and publishes all three. Record proofs belong to the snapshot: they are made with the first commitment, and
never again. A verifier multiplies each committed position once, whatever the number of statements."""

FURTHER_STAGES = ("prove initial", "prove coverage")

HOSTILE_BUNDLES = """## Hostile bundles

Bundles of at most 100 kB that cost a verifier as much as their author could think of
([benchmarks/hostile_bundles.py](../benchmarks/hostile_bundles.py)). None proves anything. Seconds are those of one core
from the reading to the end, without the start of the process; MiB are the most that the process held. A limit ends what
asks for more points than its bytes justify (CannotCheckError); `--patient` takes that limit away."""

FLOOR = """## Against the floor

The floor of a stage is the number of its operations times the measured cost of one, {units}. The counts, with their
formulas, stand in [benchmarks/floor.py](../benchmarks/floor.py). They are those of the chosen algorithms with their
best parameters, without memory, hashing, conversions, and anything that does not grow with the accounts but openings.
The floor of *load* is the time in which the table library reads the three files and checks nothing, that of *evaluate*
one multiplication and addition of integers, {integer:.2f} ns, for every entry and row."""

ONE_SHARD = """One shard, one process, one thread. What is done once in a process is in these times, as the tables of
the kernel, but for the {generators:,} generators, which were derived before in {derived} s:"""

KERNEL = """Operations of the kernel by themselves, in one thread, best of several runs
([prover/kernel](../prover/kernel/README.md)); the target is twice the floor:"""

SWEEPS = """## By what a book and a statement consist of

One shard of {accounts:,} accounts, one process, one thread; microseconds for an account. *Generators* are derived once
in a process, of the prover and of the verifier alike, so that they weigh the less the larger the book is; *verify* is
without them. In parentheses: times the floor. *Values* and *entries* are 64-bit values and non-zero entries of an
account; *rate* is accounts committed and proven in a second, without generators; *bytes* are those of points and
shard proofs for an account; *MiB* is the peak memory of the run. Statements with more rows add up the worst losses of
4 and of 16 underlyings, with 4 and 16 auxiliaries ([benchmarks/models.py](../benchmarks/models.py)). The usual book was
measured again in each table: its rates, {spread}, show how much one run differs from another on this machine."""

INCREMENTAL = """## An hour later

{accounts:,} accounts, on {cores}. The book is committed and proven in full; then `--since` makes the next snapshot
from its vault: with some accounts changed, one position each, or with the same accounts and all prices moved. Reuse
shows in the commitment: an account is re-randomized, and what changed is added, instead of being committed again; after
a mere move of prices the snapshot stays, with its published digest and its receipts. Slacks change with every price,
and no slack row is blinded twice alike, so that a statement is proven in full each time. Each run is the fastest of
{repeats}."""

PLAIN = """## Without the compiled kernel

The reference backend is plain Python; one process, one shard. Seconds; a whole run, and a whole verification with the
arithmetic of the same kind, include deriving the generators. Bytes are those of points and shard proofs for an account;
a record proof comes once to each shard."""

FURTHER = """## Ten million accounts

Shards have one size, and what is kept of each account is a constant. Cost of one more account between the measured
sizes, and what follows for {far:,}: from a straight line through the sizes of {large:,} accounts and more (least
squares of relative errors), and from going on at the cost of the last step. Where the last step costs more than the
one before, the line says too little. The last two columns are drawn out, not measured."""


def page(figures: Figures, plots: Sequence[str]) -> str:
    """Return the text of the page."""
    sections = [
        _introduction(figures),
        _targets(figures),
        _growth(figures, plots),
        _statements(figures),
        _hostile(figures),
        _floor(figures, plots),
        _sweeps(figures, plots),
        _incremental(figures, plots),
        _plain(figures),
        _further(figures),
        _missing(figures),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def write(results: Path, docs: Path) -> None:
    """Write page, plots and a copy of the figures."""
    data = json.loads(results.read_text(encoding="utf-8"))
    figures = Figures(data)
    plots = draw(figures, docs / "plots")
    (docs / "benchmarks.md").write_text(page(figures, plots), encoding="utf-8")
    copied = json.dumps(data, indent=1, sort_keys=True) + "\n"
    (docs / "plots" / FIGURES_FILE).write_text(copied, encoding="utf-8")


def _introduction(figures: Figures) -> str:
    machine = figures.data["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    commit = f"; commit {machine['commit']}" if machine.get("commit") else ""
    memory = f", {machine['memory'] / GIGABYTE:.0f} GiB of memory" if machine["memory"] else ""
    text = (
        f"**Machine.** {machine['processor']}, {_cores(machine['cores'])} of a virtual machine{memory}, "
        f"{machine['system']}; {versions}{commit}."
    )
    return _wrapped(INTRODUCTION.format(machine=text, size=SIZES.get(figures.data["size"], "")))


def _targets(figures: Figures) -> str:
    """Return the targets, each met, missed, or not measured."""
    rows = [
        *_targets_of_book(figures),
        *_targets_of_statements(figures),
        *_targets_of_kernel(figures),
        *_targets_of_plain(figures),
        *_targets_of_hostile(figures),
    ]
    return "## Targets\n\n" + _table(("target", "at most", "measured", ""), rows, left=1)


def _verdict(measured: float | None, target: float, unit: str, at_least: bool = False) -> tuple[str, str, str]:
    """Return target, measured figure, and whether it is met."""
    sign = "≥ " if at_least else ""
    wanted = f"{sign}{target:,g}{unit}"
    if measured is None:
        return wanted, "-", "not measured"
    met = measured >= target if at_least else measured <= target
    return wanted, f"{_figure(measured)}{unit}", "met" if met else "**missed**"


def _targets_of_book(figures: Figures) -> Iterable[tuple[str, ...]]:
    point = figures.point(f"accounts/{STATED}")
    memory = None if point is None or point.memory is None else point.memory["together"] / GIGABYTE
    name = f"{STATED:,} accounts"
    yield (
        f"{name}: committed and proven, accounts a second and core",
        *_verdict(None if point is None else point.rate, 5000, "", True),
    )
    yield f"{name}: Parquet tables to finished bundle", *_verdict(None if point is None else point.total, 240, " s")
    yield f"{name}: peak memory of all processes of that", *_verdict(memory, 3, " GiB")
    yield f"{name}: verified with the kernel", *_verdict(None if point is None else point.verify, 60, " s")
    size = None if point is None else point.bytes_per_account("bundle")
    yield f"{name}: bytes of the bundle for an account", *_verdict(size, 45, "")
    added = None if point is None else 100 * point.added_by_records
    yield f"{name}: record proofs add to the other work of commit and prove", *_verdict(added, 10, " %")


def _targets_of_statements(figures: Figures) -> Iterable[tuple[str, ...]]:
    point = figures.point(f"accounts/{STATED}")
    found = None if point is None else point.further
    name = f"{STATED:,} accounts, three statements"
    again = size = ratio = None
    if point is not None and found is not None:
        again = stage_seconds(found["run"], "prove records")
        size = found["run"]["bytes"]["bundle"] / point.accounts
        ratio = processor_seconds(found["verify"]) / processor_seconds(point.data["verify"])
    yield f"{name}: record proofs of the second and the third", *_verdict(again, 0, " s")
    yield f"{name}: bytes of the bundle for an account", *_verdict(size, 62, "")
    yield f"{name}: verified with the kernel, processor time, times one", *_verdict(ratio, 1.8, "")


def _targets_of_hostile(figures: Figures) -> Iterable[tuple[str, ...]]:
    found = figures.data.get("hostile", {})
    for backend, how in (("reference", "in plain Python"), ("kernel", "with the kernel")):
        bundles = found.get(backend, {}).values()
        name = f"worst hostile bundle of 100 kB, {how}"
        yield (
            f"{name}: seconds of one core",
            *_verdict(max((each["seconds"] for each in bundles), default=None), 5, " s"),
        )
        memory = max((each["memory"] / MEGABYTE for each in bundles), default=None)
        yield f"{name}: memory", *_verdict(memory, 300, " MiB")


def _targets_of_kernel(figures: Figures) -> Iterable[tuple[str, ...]]:
    if figures.units is None:
        yield "operations of the kernel, times the floor", *_verdict(None, 2, "")
        return
    operations = figures.data["kernel"]["operations"]
    worst = max(operations, key=lambda operation: operation["ratio"])
    within = sum(operation["ratio"] <= 2 for operation in operations)
    name = f"operations of the kernel, times the floor: {within} of {len(operations)} within; worst, {worst['name']}"
    yield name, *_verdict(worst["ratio"], 2, "")


def _targets_of_plain(figures: Figures) -> Iterable[tuple[str, ...]]:
    point = figures.point("backend reference/4096")
    stages = {} if point is None else point.data["run"]["stages"]

    def seconds(*names: str) -> float | None:
        return sum(stages[name]["seconds"] for name in names) if stages else None

    name = "4,096 accounts in plain Python"
    yield (
        f"{name}: positions and slack rows committed",
        *_verdict(seconds("commit positions", "commit slacks"), 15, " s"),
    )
    yield f"{name}: shard proven", *_verdict(seconds("prove shards"), 25, " s")
    checked = None if point is None else point.verification
    yield f"{name}: verified", *_verdict(checked, 5, " s")
    size = None if point is None else point.bytes_per_account("points")
    yield f"{name}: bytes of points and shard proofs for an account", *_verdict(size, 42, "")
    added = None if point is None else 100 * point.added_by_records
    yield f"{name}: record proofs add to the other work of commit and prove", *_verdict(added, 15, " %")
    receipt = None if point is None else point.data["look"]["stages"]["check receipt"]["seconds"]
    yield f"{name}: a receipt checked", *_verdict(receipt, 1, " s")
    large = figures.point(f"accounts/{STATED}")
    margin = None if large is None else large.data["look"]["stages"]["evaluate margin"]["seconds"]
    yield f"{STATED:,} accounts: margin evaluated, 16 scenarios", *_verdict(margin, 1, " s")


def _growth(figures: Figures, plots: Sequence[str]) -> str:
    group = [point for _, point in figures.group("accounts")]
    if not group:
        return ""
    times = [
        (
            f"{point.accounts:,}",
            *(_figure(point.seconds(stage)) for stage in COLUMNS),
            _figure(point.total),
            _figure(point.verify),
        )
        for point in group
    ]
    headings = ("accounts", *COLUMNS.values(), "whole run", "verify")
    parts = [_wrapped(GROWTH.format(cores=_cores(group[0].cores))), _table(headings, times), _plot("growth", plots)]
    others = [
        (
            f"{point.accounts:,}",
            f"{point.sizes.shards} x {point.sizes.accounts_per_shard:,}",
            f"{point.rate:,.0f}",
            f"{point.bytes_per_account('bundle'):,.1f}",
            f"{point.bytes_per_account('points'):,.1f}",
            f"{point.bytes_per_account('records'):,.1f}",
            f"{point.bytes_per_account('vault'):,.0f}",
            *_peaks(point.memory),
            *_peaks(point.data["verify"]["memory"])[:1],
        )
        for point in group
    ]
    parts.append(
        _wrapped(
            "*Rate* is accounts committed and proven in a second on one core. Bytes for an account: in the bundle, in "
            "its points and shard proofs alone, in its record proofs, and in the private vault; policy and "
            "declarations do not grow. Peak memory in MiB: of the run, and of the verifier."
        )
    )
    headings = (
        "accounts",
        "shards",
        "rate",
        "bundle",
        "points",
        "records",
        "vault",
        "parent",
        "largest worker",
        "together",
        "verifier",
    )
    parts += [_table(headings, others), _plot("memory", plots)]
    return "\n\n".join(part for part in parts if part)


def _statements(figures: Figures) -> str:
    """Return what the second and the third statement cost, of the largest book that has them."""
    points = [point for _, point in figures.group("accounts") if point.further is not None]
    if not points:
        return ""
    point = points[-1]
    found = point.further or {}
    stages = found["run"]["stages"]
    first = point.data["run"]["stages"]
    one = (
        point.data["run"]["bytes"]["bundle"],
        point.seconds("publish"),
        point.verify,
        processor_seconds(point.data["verify"]),
    )
    all_of_them = (
        found["run"]["bytes"]["bundle"],
        stages["publish"]["seconds"],
        found["verify"]["seconds"],
        processor_seconds(found["verify"]),
    )
    rows = [
        ("commit, with record proofs", _figure(first["commit"]["seconds"])),
        ("of these, record proofs", _figure(first["prove records"]["seconds"])),
        ("prove maintenance margin", _figure(first["prove"]["seconds"])),
        *((name.replace("prove", "then prove"), _figure(stages[name]["seconds"])) for name in FURTHER_STAGES),
        ("of these, record proofs", _figure(stage_seconds(found["run"], "prove records"))),
    ]
    bundles: list[tuple[str, ...]] = [
        (name, f"{size / point.accounts:,.1f}", *map(_figure, seconds))
        for name, (size, *seconds) in (("one", one), ("three", all_of_them))
    ]
    bundles.append(
        ("times as much", *(f"{three / single:.2f}" for single, three in zip(one, all_of_them, strict=True)))
    )
    return "\n\n".join(
        (
            _wrapped(STATEMENTS.format(accounts=point.accounts, cores=_cores(point.cores))),
            _table(("step", "seconds"), rows),
            _table(
                ("statements in the bundle", "bytes for an account", "publish", "verify", "verify: processor"), bundles
            ),
        )
    )


def _hostile(figures: Figures) -> str:
    """Return what hostile bundles cost a verifier."""
    found = figures.data.get("hostile", {})
    if not found:
        return ""
    backends = [name for name in ("reference", "kernel") if name in found]
    rows = []
    for name, plain in found[backends[0]].items():
        both = [found[backend][name] for backend in backends]
        costs = [text for each in both for text in (_figure(each["seconds"]), f"{each['memory'] / MEGABYTE:.0f}")]
        rows.append((name, *(each["end"].partition(":")[0] for each in both), f"{plain['bytes']:,}", *costs))
    words = {"reference": "plain", "kernel": "kernel"}
    headings = (
        "bundle",
        *(f"{words[each]}: ends with" for each in backends),
        "bytes",
        *(f"{words[each]}: {unit}" for each in backends for unit in ("s", "MiB")),
    )
    return _wrapped(HOSTILE_BUNDLES) + "\n\n" + _table(headings, rows, left=1 + len(backends))


def _peaks(memory: dict[str, int] | Any) -> tuple[str, str, str]:
    """Return parent, largest worker and all together in MiB."""
    if memory is None:
        return "-", "-", "-"
    parent, worker, together = (memory[name] / MEGABYTE for name in ("parent", "worker", "together"))
    return f"{parent:,.0f}", f"{worker:,.0f}" if worker else "-", f"{together:,.0f}"


def _floor(figures: Figures, plots: Sequence[str]) -> str:
    point = figures.point("gamma/2")
    parts: list[str] = []
    if point is not None:
        units = figures.units
        costs = "which could not be measured here without a Rust tool chain"
        if units is not None:
            costs = (
                f"in the same campaign: an affine addition in a batch {units['additions']:.0f} ns, a product modulo p "
                f"{units['base']:.1f} ns, a product in F {units['scalar']:.1f} ns"
            )
        integer = float(figures.data["machine"]["integer"])
        parts.append(_wrapped(FLOOR.format(units=costs, integer=integer)))
        derived = _figure(point.seconds("generators"))
        parts.append(_wrapped(ONE_SHARD.format(generators=point.sizes.generators, derived=derived)))
        parts.append(
            _table(("stage", "accounts", "cores", "seconds", "floor", "times the floor"), _floors(figures, point))
        )
        large = [other for _, other in figures.group("accounts") if other.accounts >= LARGE][-1:]
        if large:
            parts.append("The same of the largest book, in seconds of a core, with the generators in it:")
            rows = _floors(figures, large[0])
            parts.append(_table(("stage", "accounts", "cores", "seconds", "floor", "times the floor"), rows))
    if figures.units is not None:
        rows = [
            (
                operation["name"],
                operation["of"].removeprefix("for a ").removesuffix(", for an account"),
                f"{operation['ns']:,.0f}",
                f"{operation['count']:,.1f} {operation['unit']}",
                f"{operation['floor']:,.0f}",
                f"{operation['ratio']:.2f}",
            )
            for operation in figures.data["kernel"]["operations"]
        ]
        headings = ("operation", "of", "ns for one", "operations", "floor, ns", "times the floor")
        parts += [KERNEL, _table(headings, rows, left=2), _plot("floor", plots)]
    return "\n\n".join(part for part in parts if part)


def _floors(figures: Figures, point: Measured) -> Iterable[tuple[str, ...]]:
    """Return seconds of one core against the floor, for every stage whose operations are counted."""
    for stage in COUNTED:
        # Loading and evaluating are the work of one process.
        cores = 1 if stage in ("load", "evaluate") else point.cores
        spent = cores * (point.verification if stage == "verify" else point.seconds(stage))
        least = figures.floor_seconds(point, stage)
        ratio = "-" if not least else f"{spent / least:.2f}"
        yield stage, f"{point.accounts:,}", str(cores), _figure(spent), "-" if least is None else _figure(least), ratio


def _sweeps(figures: Figures, plots: Sequence[str]) -> str:
    parts: list[str] = []
    for name, heading in (
        ("rows", "rows K"),
        ("positions", "positions"),
        ("columns", "columns V"),
        ("gamma", "gamma"),
    ):
        group = figures.group(name)
        if not group:
            continue
        if not parts:
            parts += [
                _wrapped(SWEEPS.format(accounts=group[0][1].accounts, spread=_spread(figures))),
                _plot("sweeps", plots),
            ]
        rows = [
            (
                label,
                str(point.sizes.values),
                f"{point.sizes.entries / point.accounts:,.0f}",
                *(_micro(point, point.seconds(stage)) for stage in ("generators", "load", "evaluate")),
                *(_swept(figures, point, stage) for stage in BACKEND_STAGES),
                _swept(figures, point, "verify"),
                f"{point.rate:,.0f}",
                f"{point.bytes_per_account('points'):,.1f}",
                *_peaks(point.memory)[:1],
            )
            for label, point in group
        ]
        headings = (
            heading,
            "values",
            "entries",
            "generators",
            "load",
            "evaluate",
            *(COLUMNS[stage] for stage in BACKEND_STAGES),
            "verify",
            "rate",
            "bytes",
            "MiB",
        )
        parts.append(_table(headings, rows))
    return "\n\n".join(part for part in parts if part)


def _spread(figures: Figures) -> str:
    """Return the rates of the points that are the same but for their names, in rising order."""
    same = [figures.point(key) for key in ("rows/16", "positions/10", "columns/500", "gamma/2")]
    return ", ".join(f"{rate:,.0f}" for rate in sorted(point.rate for point in same if point is not None))


def _micro(point: Measured, seconds: float) -> str:
    return _figure(seconds / point.accounts * 1e6)


def _swept(figures: Figures, point: Measured, stage: str) -> str:
    """Return microseconds for an account, and how many times the floor."""
    spent = point.verification if stage == "verify" else point.seconds(stage)
    least = figures.floor_seconds(point, stage)
    return _micro(point, spent) + (f" ({spent / least:.1f})" if least else "")


def _incremental(figures: Figures, plots: Sequence[str]) -> str:
    found = figures.data.get("incremental")
    if found is None:
        return ""
    accounts, full = found["plan"]["accounts"], found["runs"]["in full"]
    rows = []
    for name, run in found["runs"].items():
        word, _, part = name.partition(" ")
        label = {"changed": "{:g} % of accounts changed", "moved": "prices moved by {:g} %"}.get(word, name)
        redone = "everything committed"
        if word == "changed":
            fresh = accounts - run["unchanged"] - run["changed"]
            redone = f"{run['unchanged']:,} re-randomized, {run['changed']:,} changed, {fresh:,} committed"
        elif run["reused"]:
            redone = "snapshot reused"
        rows.append(
            (
                label.format(float(part) * 100) if word in ("changed", "moved") else name,
                redone,
                *(_figure(stage_seconds(run, stage)) for stage in ("load", "commit", "prove", "publish")),
                _figure(run["seconds"]),
                f"{run['seconds'] / full['seconds']:.2f}",
            )
        )
    rows.sort(key=lambda row: row[0] != "in full")
    headings = ("run", "commitments", "load", "commit", "prove", "publish", "whole run", "of the full one")
    parts = [
        _wrapped(
            INCREMENTAL.format(
                accounts=accounts, cores=_cores(found["processes"]), repeats=found["plan"].get("repeats", 1)
            )
        )
    ]
    parts += [_table(headings, rows, left=2), _plot("incremental", plots)]
    return "\n\n".join(part for part in parts if part)


def _plain(figures: Figures) -> str:
    rows = []
    kernel = dict(figures.group("backend kernel"))
    for label, plain in figures.group("backend reference"):
        compiled = kernel.get(label)
        pair = [("reference", plain)] + ([("kernel", compiled)] if compiled else [])
        for name, point in pair:
            rows.append(
                (
                    f"{point.accounts:,}",
                    name,
                    *(_figure(seconds) for seconds in _compared(point)),
                    f"{point.bytes_per_account('points'):.1f}",
                )
            )
        if compiled:
            ratios = [a / b for a, b in zip(_compared(plain), _compared(compiled), strict=True)]
            rows.append((f"{plain.accounts:,}", "times faster", *(f"{ratio:,.0f}" for ratio in ratios), ""))
    if not rows:
        return ""
    stages = (COLUMNS[stage] for stage in BACKEND_STAGES)
    headings = ("accounts", "backend", *stages, "whole run", "verified", "bytes")
    return _wrapped(PLAIN) + "\n\n" + _table(headings, rows, left=2)


def _compared(point: Measured) -> list[float]:
    return [*(point.seconds(stage) for stage in BACKEND_STAGES), point.total, point.verify]


def _further(figures: Figures) -> str:
    """Return the cost of one more account, and the extrapolation by straight lines."""
    group = [point for _, point in figures.group("accounts") if point.accounts >= LARGE]
    if len(group) < 3:
        return ""
    rows = []
    for name, values, unit in _growing(group):
        points = [(point.accounts, value) for point, value in zip(group, values, strict=True)]
        steps = [(after - before) / (larger - smaller) for (smaller, before), (larger, after) in pairwise(points)]
        line = line_through(points)
        last = Line(points[-1][1] - steps[-1] * points[-1][0], steps[-1])
        rows.append(
            (name, *(_step(step, unit) for step in steps), _step(line.slope, unit), _far(line, unit), _far(last, unit))
        )
    spans = [f"{a.accounts:,} to {b.accounts:,}" for a, b in pairwise(group)]
    headings = ("for an account", *spans, "line", f"{FAR:,}, line", f"{FAR:,}, last step")
    return _wrapped(FURTHER.format(large=LARGE, far=FAR)) + "\n\n" + _table(headings, rows)


def _growing(group: Sequence[Measured]) -> Iterable[tuple[str, list[float], str]]:
    """Yield what grows, its values at the measured sizes, and "s" or "B"."""
    yield "load", [point.seconds("load") for point in group], "s"
    yield "commit", [stage_seconds(point.data["run"], "commit") for point in group], "s"
    yield "prove", [stage_seconds(point.data["run"], "prove") for point in group], "s"
    yield "publish", [point.seconds("publish") for point in group], "s"
    yield "whole run", [point.total for point in group], "s"
    yield "verify", [point.verify for point in group], "s"
    yield "bundle", [float(point.data["run"]["bytes"]["bundle"]) for point in group], "B"
    yield "vault", [float(point.data["run"]["bytes"]["vault"]) for point in group], "B"
    for name, place in (("peak memory, all together", "together"), ("peak memory, parent", "parent")):
        peaks = [point.memory for point in group]
        yield name, [float(each[place]) for each in peaks if each is not None] or [0.0] * len(group), "B"


def _step(value: float, unit: str) -> str:
    return f"{value * 1e6:,.0f} µs" if unit == "s" else f"{value:,.0f} bytes"


def _far(line: Line, unit: str) -> str:
    value = line.at(FAR)
    return f"{value / 60:,.0f} min" if unit == "s" else f"{value / GIGABYTE:,.2f} GiB"


def _missing(figures: Figures) -> str:
    failed = sorted(figures.data["failed"])
    notes = list(figures.data.get("notes", ()))
    if failed:
        notes.append(f"Not measured in this campaign: {', '.join(failed)}.")
    return "## Notes on this campaign\n\n" + "\n".join(fill(f"- {note}", 120) for note in notes) if notes else ""


def _cores(count: int) -> str:
    return {1: "one core", 2: "two cores"}.get(count, f"{count} cores")


def _figure(value: float) -> str:
    """Return a figure with three digits, or as many as it has before its point."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 if abs(value) < 10 else 1}f}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a table; the first `left` columns are text, the others figures."""
    rule = ["---"] * left + ["---:"] * (len(headings) - left)
    lines = [headings, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plot(name: str, plots: Sequence[str]) -> str:
    return f"![{name}](plots/{name}.svg)" if name in plots else ""


def _wrapped(text: str) -> str:
    """Return paragraphs in lines of up to 120 characters; headings stay."""
    parts = []
    for paragraph in text.split("\n\n"):
        parts.append(
            paragraph
            if paragraph.startswith("#")
            else fill(" ".join(paragraph.split()), 120, break_on_hyphens=False, break_long_words=False)
        )
    return "\n\n".join(parts)


def main() -> None:
    """Write everything."""
    results, docs = map(Path, sys.argv[1:])
    write(results, docs)


if __name__ == "__main__":
    main()
