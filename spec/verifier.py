"""The executable specification: a complete verifier of a bundle's proofs, written from docs/SPEC.md alone.

    python spec/verifier.py BUNDLE

It imports only the standard library and shares no code with the project. Every step appears in its shortest form under
its SPEC number, the snapshot before its statements; a large book takes minutes. It differs from a verifier to rely on
in three ways. The relation comes from `relation.cm2` (V2 requires compiling it from the policy, annex A). It checks
each equation between points separately, which is stricter than the batch of V9. And it judges no claim of annex B:
it says which inequalities hold, not what they are worth.
"""

import hashlib
import json
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

P = 2**256 - 2**32 - 977
R = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF = pow(2, -1, R)
PREFIX = b"crossmargin/2/"

Point = tuple[int, int] | None
"""Affine coordinates; None is the identity, which has no encoding."""

Term = tuple[int, Point]
"""A scalar and the point that it multiplies."""


class RejectedError(Exception):
    """A file does not hold, or is not canonical; the text begins with the step."""


def require(holds: bool, step: str, reason: str) -> None:
    """Stop at the first step that fails."""
    if not holds:
        raise RejectedError(f"{step}: {reason}")


# ---------------------------------------------------------------------------------------------------------------------
# 1.1 Numbers, bytes, groups


def add(left: Point, right: Point) -> Point:
    """Return the sum of two points."""
    if left is None or right is None:
        return left or right
    if left[0] == right[0]:
        if (left[1] + right[1]) % P == 0:
            return None
        slope = 3 * left[0] ** 2 * pow(2 * left[1], -1, P)
    else:
        slope = (right[1] - left[1]) * pow(right[0] - left[0], -1, P)
    x = (slope**2 - left[0] - right[0]) % P
    return x, (slope * (left[0] - x) - left[1]) % P


def combine(given: Iterable[Term]) -> Point:
    """Return the sum of scalar * point: six bits of all scalars at a time, points sorted into buckets."""
    terms = [(scalar % R, point) for scalar, point in given]
    total: Point = None
    for shift in range(252, -1, -6):
        for _ in range(6):
            total = add(total, total)
        buckets: list[Point] = [None] * 64
        for scalar, point in terms:
            digit = scalar >> shift & 63
            if digit:
                buckets[digit] = add(buckets[digit], point)
        running: Point = None
        for bucket in reversed(buckets[1:]):
            running = add(running, bucket)
            total = add(total, running)
    return total


def lift(x: int, odd: int) -> Point:
    """Return the point with this x and this parity of y, or None if there is none."""
    square = (x**3 + 7) % P
    y = pow(square, (P + 1) // 4, P)
    if x >= P or y * y % P != square:
        return None
    return x, y if y % 2 == odd else P - y


def point(data: bytes) -> Point:
    """Decode enc(P): prefix 2 or 3, x below p and on the curve (V1)."""
    require(data[0] in (2, 3), "V1", "a point has the prefix 2 or 3")
    found = lift(int.from_bytes(data[1:], "big"), data[0] & 1)
    require(found is not None, "V1", "no point of the curve")
    return found


def encode(given: Point) -> bytes:
    """Return enc(P); the identity has none."""
    if given is None:
        raise RejectedError("V1: the identity has no encoding")
    return bytes([2 + given[1] % 2]) + given[0].to_bytes(32, "big")


def scalar_bytes(values: Iterable[int]) -> bytes:
    """Return sc of every value."""
    return b"".join(value.to_bytes(32, "big") for value in values)


def powers(base: int, first: int, count: int) -> list[int]:
    """Return `count` powers of base, from base^first on."""
    return [pow(base, exponent, R) for exponent in range(first, first + count)]


def inner(left: Iterable[int], right: Iterable[int]) -> int:
    """Return the inner product of two vectors of one length."""
    return sum(a * b for a, b in zip(left, right, strict=True)) % R


# ---------------------------------------------------------------------------------------------------------------------
# 1.3 The hypercube


def eq(at: Sequence[int], index: int) -> int:
    """Return eq(at, index); the bits of the index count low first."""
    product = 1
    for position, value in enumerate(at):
        product = product * (value if index >> position & 1 else 1 - value) % R
    return product


# ---------------------------------------------------------------------------------------------------------------------
# S1 Hashing and transcript


def tagged(label: str, data: bytes) -> bytes:
    """Return H_label(data)."""
    tag = PREFIX + label.encode()
    return hashlib.sha256(bytes([len(tag)]) + tag + data).digest()


class Transcript:
    """A state of 32 bytes that yields challenges."""

    def __init__(self, kind: str) -> None:
        """Start one of the kinds `records`, `shard`, `totals` and `auxtotals`."""
        self.state = tagged("transcript", bytes([len(kind)]) + kind.encode())

    def absorb(self, label: str, data: bytes) -> None:
        """Bind data under a label."""
        message = self.state + bytes([len(label)]) + label.encode() + struct.pack(">Q", len(data)) + data
        self.state = tagged("absorb", message)

    def draw(self, label: str) -> bytes:
        """Return 64 bytes; a seed takes the first 32."""
        message = self.state + bytes([len(label)]) + label.encode()
        self.state = tagged("challenge2", message)
        return tagged("challenge0", message) + tagged("challenge1", message)

    def challenge(self, label: str) -> int:
        """Return a scalar."""
        return int.from_bytes(self.draw(label), "big") % R


# ---------------------------------------------------------------------------------------------------------------------
# S2 Generators


@cache
def generator(kind: str, *numbers: int) -> Point:
    """Return gen(kind, u32 of every number)."""
    label = kind.encode() + b"".join(struct.pack(">I", number) for number in numbers)
    counter, found = 0, None
    while found is None:
        found = lift(int.from_bytes(tagged("gen", label + struct.pack(">I", counter)), "big"), 0)
        counter += 1
    return found


# ---------------------------------------------------------------------------------------------------------------------
# S5 Trees


def leaf(encoding: bytes) -> bytes:
    """Return the leaf of a point."""
    return hashlib.sha256(b"\0" + encoding).digest()


def parents(level: list[bytes]) -> list[bytes]:
    """Return the nodes above a level."""
    return [hashlib.sha256(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level), 2)]


def shard_roots_and_root(encodings: list[bytes], places: int, shards: int) -> tuple[list[bytes], bytes]:
    """Return the roots of all shards and the root of the tree over them; places without a point are empty."""
    level = [leaf(encoding) for encoding in encodings] + [bytes(32)] * (places - len(encodings))
    while len(level) > shards:
        level = parents(level)
    roots = list(level)
    while len(level) & (len(level) - 1):
        level.append(bytes(32))
    while len(level) > 1:
        level = parents(level)
    return roots, level[0]


# ---------------------------------------------------------------------------------------------------------------------
# 6 Files, V1 Parse


class File:
    """A file, read field by field to its end."""

    def __init__(self, data: bytes, magic: bytes) -> None:
        """Read the header."""
        self.data, self.at = data, 0
        require(self.raw(4) == magic and self.number(2) == 2, "V1", f"no file of magic {magic.decode()}, version 2")

    def raw(self, size: int) -> bytes:
        """Return the next bytes."""
        self.at += size
        require(self.at <= len(self.data), "V1", "a file ends early")
        return self.data[self.at - size : self.at]

    def number(self, size: int, *, signed: bool = False) -> int:
        """Return an integer of `size` bytes."""
        return int.from_bytes(self.raw(size), "big", signed=signed)

    def text(self) -> str:
        """Return a text with its u16 length in front."""
        try:
            return self.raw(self.number(2)).decode()
        except UnicodeDecodeError:
            raise RejectedError("V1: a text is not UTF-8") from None

    def scalars(self, count: int) -> list[int]:
        """Return scalars below r."""
        found = [self.number(32) for _ in range(count)]
        require(all(value < R for value in found), "V1", "a scalar is not below r")
        return found

    def totals(self, count: int) -> tuple[bytes, list[int]]:
        """Return u32 count and as many i128, as bytes and as numbers."""
        data = self.raw(4 + 16 * count)
        require(data[:4] == struct.pack(">I", count), "V1", "another number of totals")
        return data, [int.from_bytes(data[at : at + 16], "big", signed=True) for at in range(4, len(data), 16)]

    def end(self) -> None:
        """Refuse bytes after the last field."""
        require(self.at == len(self.data), "V1", "a file goes on after its last field")


def check_labels(labels: Sequence[str]) -> None:
    """Require non-empty, distinct labels."""
    require(all(labels) and len(set(labels)) == len(labels), "V1", "labels must be distinct, and not empty")


# ---------------------------------------------------------------------------------------------------------------------
# P7, P8, V6 Opening


def check_opening(
    step: str,
    transcript: Transcript,
    file: File,
    bases: Sequence[Term],
    weights: Sequence[int],
    committed: Iterable[Term],
    claim: int,
) -> None:
    """Check OPEN for <o, weights> = claim; bases: factor and point; committed: P_0 as a sum."""
    length = 1 << (len(bases) - 1).bit_length()
    # P7
    nonce = file.raw(33)
    (u,) = file.scalars(1)
    transcript.absorb("open", nonce + scalar_bytes([u]))
    eta, xi = transcript.challenge("c"), transcript.challenge("xi")
    # P8
    challenges, messages = [], []
    for _ in range(length.bit_length() - 3):
        message = file.raw(66)
        transcript.absorb("fold", message)
        challenges.append(transcript.challenge("x"))
        messages.append((point(message[:33]), point(message[33:])))
    s = file.scalars(4)
    file.end()
    # V6
    folded = [*weights, *[0] * (length - len(weights))]
    for x in challenges:
        half = len(folded) // 2
        folded = [(x * folded[i] + folded[half + i]) % R for i in range(half)]
    terms: list[Term] = []
    for i, (factor, base) in enumerate(bases):
        coefficient = s[i % 4] * factor % R
        for fold, x in enumerate(challenges, start=1):
            if i % (length >> (fold - 1)) < length >> fold:
                coefficient = coefficient * x % R
        terms.append((coefficient, base))
    later = 1
    for x, (first, second) in zip(reversed(challenges), reversed(messages), strict=True):
        terms += [(-later, first), (-later * x * x, second)]
        later = later * x % R
    value = xi * inner(s, folded) - later * xi * (u + eta * claim)
    terms += [(value, generator("U")), (-later, point(nonce))]
    terms += [(-later * eta * scalar, each) for scalar, each in committed]
    require(combine(terms) is None, step, "the opening does not hold")


# ---------------------------------------------------------------------------------------------------------------------
# The snapshot: V1 - V4, V7


def required(files: Mapping[str, bytes], name: str) -> bytes:
    """Return the bytes of a file that has to be there."""
    require(name in files, "V1", f"{name} is missing")
    return files[name]


def points(data: bytes, magic: bytes, count: int) -> list[bytes]:
    """Return the encodings of a file of points, whose length is compared first."""
    require(len(data) == 14 + 33 * count, "V1", f"{magic.decode()}: not the length of {count} points")
    file = File(data, magic)
    require(file.number(8) == count, "V1", f"{magic.decode()}: another number of points")
    return [file.raw(33) for _ in range(count)]


def check_names(given: Iterable[str], places: Iterable[str], folder: str) -> None:
    """Refuse files of the protocol that have no place."""
    extra = sorted(name for name in set(given) - set(places) if name.endswith(".cm2"))
    require(not extra, "V1", f"no place in {folder} for {', '.join(extra)}")


class Snapshot:
    """The files of the folder `snapshot` by name, with all comparisons that come before trees and proofs (V1, V2)."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Read columns, manifest and committed points; check digests and sizes."""
        self.files = files

        # V1, S3: columns
        self.columns_digest = tagged("columns", required(files, "columns.cm2"))
        file = File(files["columns.cm2"], b"CM2C")
        self.V = file.number(4)
        require(self.V >= 1, "V1", "no columns")
        labels = [file.text() for _ in range(self.V)]
        file.end()
        check_labels(labels)

        # V1, S6: snapshot manifest
        file = File(required(files, "snapshot.cm2"), b"CM2S")
        self.sid, self.as_of, stated_columns = file.text(), file.number(8), file.raw(32)
        self.N, self.n, self.position_root = file.number(8), file.number(8), file.raw(32)
        file.end()
        require(self.N >= 1 and self.N & (self.N - 1) == 0, "V1", "N is a power of two")
        require(self.n >= 1 and 1 << (self.n - 1).bit_length() >= self.N, "V1", "n >= 1 and N <= 2^ceil(log2 n)")
        self.S, self.nu = -(-self.n // self.N), self.N.bit_length() - 1
        require(self.S * self.N <= 2**40, "V1", "S N <= 2^40")
        self.digest = tagged("snapshot", files["snapshot.cm2"])
        optional = ["totals.cm2"] if "totals.cm2" in files else []
        proofs = [f"records-{j:06d}.cm2" for j in range(self.S)]
        check_names(files, ["columns.cm2", "snapshot.cm2", "positions.cm2", *optional, *proofs], "snapshot")

        # V2
        require(stated_columns == self.columns_digest, "V2", "the columns are not those of the snapshot")
        self.X = points(required(files, "positions.cm2"), b"CM2X", self.n)

        # Section 1.2: the record proof
        self.B = 62 + (self.N * self.V).bit_length()
        self.b = -(-(self.B + 91) // 8)
        self.P = 128 if self.N == 1 else 312
        self.bound = 2 ** (8 * self.b) * (1 if self.N == 1 else 2)

    @cached_property
    def roots(self) -> list[bytes]:
        """The position roots of all shards, once their tree has been compared (V3)."""
        roots, root = shard_roots_and_root(self.X, self.S * self.N, self.S)
        require(root == self.position_root, "V3", "the positions do not lead to their root")
        return roots

    def accounts(self, shard: int) -> list[bytes]:
        """Return X_i of the accounts of a shard; there are cnt_j, at most N."""
        return self.X[shard * self.N : (shard + 1) * self.N]

    def check(self) -> list[int] | None:
        """Check the record proofs of all shards and the totals; return these, if they are shown."""
        for shard in range(len(self.roots)):
            self.check_records(shard)
        return self.check_totals() if "totals.cm2" in self.files else None

    def check_records(self, shard: int) -> None:
        """Check the record proof of a shard: repeat the transcript of B1 - B5, check V4."""
        file = File(required(self.files, f"records-{shard:06d}.cm2"), b"CM2B")
        require((file.raw(32), file.number(8)) == (self.digest, shard), "V4", "a proof about something else")
        transcript = Transcript("records")
        transcript.absorb("snapshot", self.digest)
        transcript.absorb("shard", struct.pack(">Q", shard) + self.roots[shard])
        # B1
        mask = file.raw(33)
        transcript.absorb("mask", mask)
        # B2
        seed = transcript.draw("proj")[:32]
        alpha, beta = self.projections(seed)
        # B3
        z = file.raw(self.P * self.b)
        transcript.absorb("z", z)
        lambdas = powers(transcript.challenge("lambda"), 0, self.P)
        f = inner(lambdas, (int.from_bytes(z[at : at + self.b], "big") for at in range(0, len(z), self.b)))
        # B4
        rho: list[int] = []
        for _ in range(self.nu):
            p = file.scalars(2)
            transcript.absorb("round", scalar_bytes(p))
            rho.append(transcript.challenge("rho"))
            f = ((f - sum(p)) * HALF + inner(p, powers(rho[-1], 1, 2))) % R
        # B5
        chi = transcript.challenge("chi")
        combined = [0] * self.P
        for i in range(self.N):
            weight = eq(rho, i)
            combined = [sum_ + weight * (alpha[i] >> bit & 1) for bit, sum_ in enumerate(combined)]
        combined = [power * each % R for power, each in zip(lambdas, combined, strict=True)]
        weights = [sum(each for bit, each in enumerate(combined) if word >> bit & 1) % R for word in beta]
        weights += [(pow(value, e, R) - HALF) % R for value in rho for e in (1, 2)]
        weights += [pow(HALF, self.nu, R) * each % R for each in lambdas]
        weights.append(0)
        # V4
        masks = 2 * self.nu + self.P
        bases: list[Term] = [(1, generator("A", v)) for v in range(self.V)]
        bases += [(chi, generator("M", e)) for e in range(masks)] + [(1, generator("H"))]
        committed = [(eq(rho, i), point(each)) for i, each in enumerate(self.accounts(shard))]
        committed.append((chi, point(mask)))
        check_opening("V4", transcript, file, bases, weights, committed, f)

    def projections(self, seed: bytes) -> tuple[list[int], list[int]]:
        """B2: the bits of alpha for every account and those of beta for every column, as integers of P bits."""
        size, blocks = self.P // 8, self.V + (self.N if self.N > 1 else 0)
        stream = hashlib.shake_256(bytes([18]) + PREFIX + b"proj" + seed).digest(size * blocks)
        words = [int.from_bytes(stream[at : at + size], "little") for at in range(0, len(stream), size)]
        return (words[: self.N], words[self.N :]) if self.N > 1 else ([(1 << self.P) - 1], words)

    def check_totals(self) -> list[int]:
        """Check the totals of all columns: P9, V7."""
        file = File(self.files["totals.cm2"], b"CM2T")
        require(file.raw(32) == self.digest, "V7", "the totals are about another snapshot")
        data, totals = file.totals(self.V)
        nonce = file.raw(33)
        (s,) = file.scalars(1)
        file.end()
        require(all(abs(total) < 2**120 for total in totals), "V7", "a total is out of range")
        transcript = Transcript("totals")
        transcript.absorb("snapshot", self.digest)
        transcript.absorb("T", data)
        transcript.absorb("Q", nonce)
        eta = transcript.challenge("c")
        terms: list[Term] = [(s, generator("H")), (-1, point(nonce)), *((-eta, point(each)) for each in self.X)]
        terms += [(eta * total, generator("A", v)) for v, total in enumerate(totals)]
        require(combine(terms) is None, "V7", "the totals are not those of the positions")
        return totals


# ---------------------------------------------------------------------------------------------------------------------
# One statement: V1 - V3, V5, V6, V8


class Statement:
    """The files of one statement by name, with all comparisons that come before trees and proofs (V1, V2)."""

    def __init__(self, snapshot: Snapshot, files: Mapping[str, bytes]) -> None:
        """Read relation, manifest and slack rows; check digests and sizes."""
        self.snapshot, self.files = snapshot, files

        # V1, S7: relation
        file = File(required(files, "relation.cm2"), b"CM2L")
        require(file.raw(32) == snapshot.columns_digest, "V1", "the relation is about other columns")
        V, self.Q, M, self.K = (file.number(4) for _ in range(4))
        require(V == snapshot.V and self.K >= 1, "V1", "no rows, or another number of columns")
        require(M == 0, "V1", "hidden arrays, of which this version has none")
        auxiliaries = [(file.text(), file.number(1)) for _ in range(self.Q)]
        require(all(flag in (0, 1) for _, flag in auxiliaries), "V1", "a flag is 0 or 1")
        self.disclosed = [u for u, (_, flag) in enumerate(auxiliaries) if flag]
        labels: list[str] = []
        self.L: list[list[int]] = []
        self.L2: list[list[int]] = []
        self.c: list[int] = []
        for _ in range(self.K):
            labels.append(file.text())
            self.L.append([file.number(16, signed=True) for _ in range(V)])
            self.L2.append([file.number(16, signed=True) for _ in range(self.Q)])
            self.c.append(file.number(16, signed=True))
        file.end()
        check_labels([label for label, _ in auxiliaries])
        check_labels(labels)
        self.relation_digest = tagged("relation", files["relation.cm2"])

        # V1, S9: statement manifest
        file = File(required(files, "statement.cm2"), b"CM2M")
        stated_snapshot, stated_relation, self.policy_digest, model_digest = (file.raw(32) for _ in range(4))
        self.gamma, self.slack_root = file.number(1), file.raw(32)
        file.end()
        self.G, self.J = 1 << self.gamma, self.K + self.Q
        require(self.gamma <= min(4, snapshot.nu), "V1", "gamma <= min(4, nu)")
        self.digest = tagged("statement", files["statement.cm2"])

        # V1: the places of files; totals are left out together
        shown = ["auxtotals.cm2"] if self.disclosed and "totals.cm2" in snapshot.files else []
        proofs = [f"shard-{j:06d}.cm2" for j in range(snapshot.S)]
        check_names(files, ["relation.cm2", "statement.cm2", "slack.cm2", *shown, *proofs], "a statement")
        for name in shown:
            required(files, name)

        # V1: slack rows
        rows = snapshot.S * snapshot.N // self.G
        self.rows = points(required(files, "slack.cm2"), b"CM2R", rows)

        # V2
        require(stated_snapshot == snapshot.digest, "V2", "the statement is about another snapshot")
        require(stated_relation == self.relation_digest, "V2", "the statement is about another relation")
        require(model_digest == bytes(32), "V2", "a model digest without hidden arrays")
        if "policy.json" in files:
            require(self.policy_digest == tagged("policy", files["policy.json"]), "V2", "another policy")
        for base, auxiliary, c in zip(self.L, self.L2, self.c, strict=True):
            size = sum(map(abs, base)) * snapshot.bound + sum(map(abs, auxiliary)) * 2**64 + abs(c)
            require(2 * size < R, "V2", "the coefficients are too large")
        require(4 * snapshot.S * snapshot.N * snapshot.bound < R, "V2", "the snapshot is too large")

        # Section 1.2: the shard proof
        self.kappa = (self.J - 1).bit_length()
        self.variables = 6 + self.kappa + snapshot.nu
        self.B = [generator("B", a, j, t) for a in range(self.G) for j in range(self.J) for t in range(64)]

    @cached_property
    def slack_roots(self) -> list[bytes]:
        """The slack roots of all shards, once their tree has been compared (V3)."""
        roots, root = shard_roots_and_root(self.rows, len(self.rows), self.snapshot.S)
        require(root == self.slack_root, "V3", "the slack rows do not lead to their root")
        return roots

    def check(self) -> list[int] | None:
        """Check the proofs of all shards and the auxiliary totals; return these, if there are any."""
        for shard in range(len(self.slack_roots)):
            self.check_shard(shard)
        return self.check_auxiliary_totals() if "auxtotals.cm2" in self.files else None

    def check_shard(self, shard: int) -> None:
        """Check the proof of a shard: repeat the transcript of P1 - P8, check V5 and V6."""
        file = File(required(self.files, f"shard-{shard:06d}.cm2"), b"CM2P")
        # V5
        require((file.raw(32), file.number(8)) == (self.digest, shard), "V5", "a proof about something else")
        transcript = Transcript("shard")
        transcript.absorb("statement", self.digest)
        roots = self.snapshot.roots[shard] + self.slack_roots[shard]
        transcript.absorb("shard", struct.pack(">Q", shard) + roots)
        # P1
        mask = file.raw(33)
        transcript.absorb("mask", mask)
        # P3
        tau = [transcript.challenge("tau") for _ in range(self.variables)]
        # P4
        f = 0
        rho: list[int] = []
        for d in range(self.variables):
            t = file.scalars(4 if d == 0 else 2)
            transcript.absorb("round", scalar_bytes(t))
            z = transcript.challenge("rho")
            while d == 0 and z in (0, 1):
                z = transcript.challenge("rho")
            f = (f - tau[d] * sum(t) + inner(t, powers(z, 1, len(t)))) % R
            rho.append(z)
        # P5
        (beta,) = file.scalars(1)
        transcript.absorb("beta", scalar_bytes([beta]))
        mu, chi = transcript.challenge("mu"), transcript.challenge("chi")

        # P6, V5: block A, block B, the masks, H
        bit, val, account = rho[:6], rho[6 : 6 + self.kappa], rho[6 + self.kappa :]
        packed, row = account[: self.gamma], account[self.gamma :]
        mus = powers(mu, 2, self.K)
        theta = mus + [-inner(mus, (line[u] for line in self.L2)) for u in range(self.Q)]
        weights = [-inner(mus, (line[v] for line in self.L)) for v in range(self.snapshot.V)]
        weights += [
            eq(packed, a) * (eq(val, j) * eq(bit, t) + theta[j] * 2**t) % R
            for a in range(self.G)
            for j in range(self.J)
            for t in range(64)
        ]
        weights.append(rho[0] * (1 - rho[0]) % R)
        exponents = [(d, e) for d in range(self.variables) for e in range(1, 5 if d == 0 else 3)]
        weights += [mu * (pow(rho[d], e, R) - tau[d]) % R for d, e in exponents]
        weights.append(0)
        at_accounts = [eq(account, i) for i in range(len(self.snapshot.accounts(shard)))]
        claim = beta + mu * (f - beta * beta + beta) + sum(at_accounts) * inner(mus, self.c)

        # V6
        bases: list[Term] = [(1, generator("A", v)) for v in range(self.snapshot.V)]
        bases += [(chi, each) for each in self.B]
        bases += [(chi * chi, generator("M", e)) for e in range(2 * self.variables + 3)] + [(1, generator("H"))]
        committed = [(at, point(each)) for at, each in zip(at_accounts, self.snapshot.accounts(shard), strict=True)]
        rows = self.snapshot.N // self.G
        committed += [(chi * eq(row, h), point(self.rows[shard * rows + h])) for h in range(rows)]
        committed.append((chi * chi, point(mask)))
        check_opening("V6", transcript, file, bases, weights, committed, claim)

    def check_auxiliary_totals(self) -> list[int]:
        """Check the totals of the disclosed auxiliaries: P10, V8."""
        file = File(self.files["auxtotals.cm2"], b"CM2U")
        require(file.raw(32) == self.digest, "V8", "the auxiliary totals are about another statement")
        data, totals = file.totals(len(self.disclosed))
        require(all(0 <= total < 2**120 for total in totals), "V8", "a total is out of range")
        transcript = Transcript("auxtotals")
        transcript.absorb("statement", self.digest)
        transcript.absorb("T", data)
        zeta = transcript.challenge("zeta")
        weights = [0] * (len(self.B) + 1)
        for e, u in enumerate(self.disclosed):
            for a in range(self.G):
                for t in range(64):
                    weights[(a * self.J + self.K + u) * 64 + t] = pow(zeta, e, R) * 2**t
        bases = [(1, each) for each in [*self.B, generator("H")]]
        claim = inner(powers(zeta, 0, len(totals)), totals)
        check_opening("V8", transcript, file, bases, weights, [(1, point(each)) for each in self.rows], claim)
        return totals


# ---------------------------------------------------------------------------------------------------------------------
# H1 - H4, for one holder


def check_receipt(data: bytes, snapshot_file: bytes, columns_file: bytes, holder: str, record: Sequence[int]) -> int:
    """Check a receipt file against manifest and columns, the holder's own id and record; return the index."""
    receipt = File(data, b"CM2H")
    stated, index, identity, nonce = receipt.raw(32), receipt.number(8), receipt.text(), receipt.raw(32)
    x = [receipt.number(8, signed=True) for _ in range(receipt.number(4))]
    path = [receipt.raw(32) for _ in range(receipt.number(1))]
    receipt.end()
    columns = File(columns_file, b"CM2C")
    labels = [columns.text() for _ in range(columns.number(4))]
    columns.end()
    snapshot = File(snapshot_file, b"CM2S")
    sid, _, columns_digest = snapshot.text(), snapshot.number(8), snapshot.raw(32)
    N, n, root = snapshot.number(8), snapshot.number(8), snapshot.raw(32)
    snapshot.end()
    require(N >= 1 and N & (N - 1) == 0 and n >= 1 and 1 << (n - 1).bit_length() >= N, "V1", "N and n do not fit")
    # H1
    require(stated == tagged("snapshot", snapshot_file), "H1", "a receipt of another snapshot")
    require(columns_digest == tagged("columns", columns_file), "H1", "the columns are not those of the snapshot")
    # H2
    require(identity != "" and identity == holder, "H2", "the id is not the holder's own")
    require(x == list(record) and len(x) == len(labels), "H2", "the record is not the holder's own")
    require(all(abs(entry) < 2**62 for entry in x), "H2", "an entry is out of range")
    # H3
    shards = -(-n // N)
    levels = N.bit_length() - 1 + (shards - 1).bit_length()
    require(index < n and len(path) == levels, "H3", "no place of an account")
    # H4
    message = b"".join(struct.pack(">H", len(text.encode())) + text.encode() for text in (sid, identity)) + nonce
    blinding = int.from_bytes(tagged("blind0", message) + tagged("blind1", message), "big") % R
    found = combine([*((entry, generator("A", v)) for v, entry in enumerate(x)), (blinding, generator("H"))])
    node = leaf(encode(found))
    for level, sibling in enumerate(path):
        pair = sibling + node if index >> level & 1 else node + sibling
        node = hashlib.sha256(b"\1" + pair).digest()
    require(node == root, "H4", "the path does not lead to the position root")
    return index


# ---------------------------------------------------------------------------------------------------------------------
# Annex B, the anchor


def check_anchor(files: Mapping[str, bytes]) -> tuple[bytes, dict[str, Any]]:
    """Compare every file with `anchor.json` and check its signature; return the bundle digest and what is anchored."""
    try:
        anchor, bundle = json.loads(required(files, "anchor.json")), json.loads(required(files, "bundle.json"))
        canonical = json.dumps(anchor, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        require(canonical == files["anchor.json"], "B", "anchor.json is not canonical")
        listed, key = anchor.pop("files"), bytes.fromhex(bundle["receipt_key"])
        named = {"snapshot": bundle["snapshot"], "statements": bundle["statements"], "venue": bundle["venue"]}
        also = {
            "snapshot": anchor["snapshot"]["digest"],
            "statements": [each["name"] for each in anchor["statements"]],
            "venue": anchor["venue"],
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise RejectedError("B: anchor.json or bundle.json is not what annex B says") from None
    require(isinstance(listed, dict) and "bundle.json" in listed, "B", "anchor.json does not list bundle.json")
    found = {name: hashlib.sha256(required(files, name)).hexdigest() for name in listed}
    require(found == listed, "B", "a file is not the one that anchor.json lists")
    extra = sorted(name for name in files if name.endswith(".cm2") and name not in listed)
    require(not extra, "B", f"not listed in anchor.json: {', '.join(extra)}")
    signature = required(files, "anchor.sig")
    first, second = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    require(len(signature) == 64 and 0 < first < R and 0 < second <= R // 2, "B", "anchor.sig is no signature")
    require(len(key) == 33, "B", "the receipt key is no point")
    inverse = pow(second, -1, R)
    base = lift(0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798, 0)
    message = int.from_bytes(tagged("bundle", files["anchor.json"]), "big")
    signed = combine([(message * inverse, base), (first * inverse, point(key))])
    require(signed is not None and signed[0] % R == first, "B", "the receipt key did not sign anchor.json")
    require(named == also, "B", "anchor.json is about something else than bundle.json")
    return hashlib.sha256(files["anchor.json"]).digest(), anchor


# ---------------------------------------------------------------------------------------------------------------------
# A whole bundle


def parts(files: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[str, dict[str, bytes]]]:
    """Sort the files of a bundle, by path, into those of the snapshot and those of each statement."""
    snapshot: dict[str, bytes] = {}
    statements: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        match path.split("/"):
            case ["snapshot", name]:
                snapshot[name] = data
            case ["statements", statement, name]:
                statements.setdefault(statement, {})[name] = data
            case _:
                require(not path.endswith(".cm2"), "V1", f"no place for {path}")
    return snapshot, statements


def verify(files: Mapping[str, bytes]) -> Iterable[str]:
    """Check all proofs of a bundle; yield lines that say what holds."""
    anchor = None
    if "bundle.json" in files:
        digest, anchor = check_anchor(files)
        yield f"bundle digest    {digest.hex()}"
    else:
        yield "bundle digest    none: a snapshot and statements without bundle.json and anchor.json"
    in_snapshot, in_statements = parts(files)
    snapshot = Snapshot(in_snapshot)
    statements = {name: Statement(snapshot, found) for name, found in sorted(in_statements.items())}
    if anchor is not None:
        stated = [
            {"name": name, "policy": each.policy_digest.hex(), "statement": each.digest.hex()}
            for name, each in statements.items()
        ]
        about = {"digest": snapshot.digest.hex(), "as_of": snapshot.as_of}
        agree = anchor["snapshot"] == about and sorted(anchor["statements"], key=lambda each: each["name"]) == stated
        require(agree, "B", "anchor.json is about something else than the files")
    yield f"snapshot digest  {snapshot.digest.hex()}"
    totals = snapshot.check()
    yield f"accounts         {snapshot.n}, each of which has an integer record"
    yield f"totals           {'none: nothing is shown about sums' if totals is None else totals}"
    for name, statement in statements.items():
        disclosed = statement.check()
        yield f"{name}: every row holds for each of the {snapshot.n} accounts"
        yield f"  statement {statement.digest.hex()}"
        yield f"  policy    {statement.policy_digest.hex()}"
        yield f"  relation  {statement.relation_digest.hex()}"
        if disclosed is not None:
            yield f"  disclosed totals {disclosed}"


def main(arguments: Sequence[str]) -> int:
    """Verify the bundle in a folder; return 0 if all proofs hold, else 1."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print(__doc__)
        return 2
    folder = Path(arguments[0])
    try:
        found = [path for path in folder.rglob("*") if path.suffix in {".cm2", ".json", ".sig"} and path.is_file()]
        for line in verify({path.relative_to(folder).as_posix(): path.read_bytes() for path in found}):
            print(line)
    except RejectedError as error:
        print(f"REJECTED: {error}")
        return 1
    print("VERIFIED: compile each policy to the relation digest, and compare the digests with their publication (V10)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
