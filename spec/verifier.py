"""The executable specification: a complete verifier of one statement, written from docs/SPEC.md alone.

    python spec/verifier.py BUNDLE/STATEMENT

It imports only the standard library and shares no code with the project. Every step appears in its shortest form under
its SPEC number, the snapshot before the statement; a large statement takes minutes. It differs from a verifier to rely
on in two ways. The relation comes from `relation.cm1` (V2 requires compiling it from the policy, annex A), and it
checks each equation between points separately, which is stricter than the batch of V9.
"""

import hashlib
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

P = 2**256 - 2**32 - 977
R = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF = pow(2, -1, R)

Point = tuple[int, int] | None
"""Affine coordinates; None is the identity, which has no encoding."""

Term = tuple[int, Point]
"""A scalar and the point that it multiplies."""


class RejectedError(Exception):
    """The statement does not hold, or is not canonical; the text begins with the step."""


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
    tag = b"crossmargin/1/" + label.encode()
    return hashlib.sha256(bytes([len(tag)]) + tag + data).digest()


class Transcript:
    """A state of 32 bytes that yields challenges."""

    def __init__(self, kind: str) -> None:
        """Start one of the kinds `shard`, `totals` and `auxtotals`."""
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


def parents(level: list[bytes]) -> list[bytes]:
    """Return the nodes above a level."""
    return [hashlib.sha256(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level), 2)]


def shard_roots_and_root(encodings: list[bytes], shards: int) -> tuple[list[bytes], bytes]:
    """Return the roots of all shards and the root of the tree over them."""
    level = [hashlib.sha256(b"\0" + encoding).digest() for encoding in encodings]
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
        require(self.raw(4) == magic and self.number(2) == 1, "V1", f"no file of magic {magic.decode()}, version 1")

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


class Statement:
    """The files of one directory by name, with all comparisons that come before the proofs (V1 - V3)."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Read relation, manifests and committed points; check digests, sizes and trees."""
        self.files = files

        # V1, S3: columns
        columns_digest = tagged("columns", self.file("columns.cm1"))
        file = File(self.file("columns.cm1"), b"CM1C")
        columns = [file.text() for _ in range(file.number(4))]
        file.end()
        check_labels(columns)

        # V1, S6: snapshot manifest
        file = File(self.file("snapshot.cm1"), b"CM1S")
        self.sid, self.as_of, stated_columns = file.text(), file.number(8), file.raw(32)
        self.N, self.S, position_root = file.number(8), file.number(8), file.raw(32)
        file.end()
        require(self.N >= 1 and self.N & (self.N - 1) == 0, "V1", "N is a power of two")
        require(self.S >= 1 and self.S * self.N <= 2**40, "V1", "S >= 1 and S N <= 2^40")
        self.snapshot_digest = tagged("snapshot", self.file("snapshot.cm1"))

        # V1, V2, V3: the commitments
        require(stated_columns == columns_digest, "V2", "the columns are not those of the snapshot")
        self.X = self.points("positions.cm1", b"CM1X", self.S * self.N)
        self.position_roots, root = shard_roots_and_root(self.X, self.S)
        require(root == position_root, "V3", "the positions do not lead to their root")

        # V1, S7: relation
        file = File(self.file("relation.cm1"), b"CM1L")
        require(file.raw(32) == columns_digest, "V1", "the relation is about other columns")
        self.V, self.Q, self.K = file.number(4), file.number(4), file.number(4)
        require(len(columns) == self.V and self.V >= 1 and self.K >= 1, "V1", "no columns, no rows, or other columns")
        auxiliaries = [(file.text(), file.number(1)) for _ in range(self.Q)]
        require(all(flag in (0, 1) for _, flag in auxiliaries), "V1", "a flag is 0 or 1")
        self.disclosed = [u for u, (_, flag) in enumerate(auxiliaries) if flag]
        labels: list[str] = []
        self.L: list[list[int]] = []
        self.L2: list[list[int]] = []
        self.c: list[int] = []
        for _ in range(self.K):
            labels.append(file.text())
            self.L.append([file.number(16, signed=True) for _ in range(self.V)])
            self.L2.append([file.number(16, signed=True) for _ in range(self.Q)])
            self.c.append(file.number(16, signed=True))
        file.end()
        check_labels([label for label, _ in auxiliaries])
        check_labels(labels)
        self.relation_digest = tagged("relation", self.file("relation.cm1"))

        # V1, S9: statement manifest
        file = File(self.file("statement.cm1"), b"CM1M")
        stated_snapshot, stated_relation, self.policy_digest = file.raw(32), file.raw(32), file.raw(32)
        self.gamma, self.mode, slack_root = file.number(1), file.number(1), file.raw(32)
        file.end()
        self.G, self.nu, self.J = 1 << self.gamma, self.N.bit_length() - 1, self.K + self.Q
        require(self.mode in (0, 1) and self.gamma <= min(4, self.nu), "V1", "mode 0 or 1, gamma <= min(4, nu)")
        self.digest = tagged("statement", self.file("statement.cm1"))

        # V1: slack rows
        self.rows = self.points("slack.cm1", b"CM1R", self.S * self.N // self.G)

        # V2: relation, S10
        require(stated_snapshot == self.snapshot_digest, "V2", "the statement is about another snapshot")
        require(stated_relation == self.relation_digest, "V2", "the statement is about another relation")
        if "policy.json" in files:
            require(self.policy_digest == tagged("policy", files["policy.json"]), "V2", "another policy")
        for base, helper, c in zip(self.L, self.L2, self.c, strict=True):
            size = sum(map(abs, base)) * (2**120 + self.S * self.N * 2**62)
            size += sum(map(abs, helper)) * self.S * self.N * 2**64 + self.S * self.N * (2**64 + abs(c))
            require(2 * size < R, "V2", "S10: the coefficients are too large")
            require(c <= 0, "V2", "a positive offset weakens the statement about the book")

        # V3: trees
        self.slack_roots, root = shard_roots_and_root(self.rows, self.S)
        require(root == slack_root, "V3", "the slack rows do not lead to their root")

        self.kappa = (self.J - 1).bit_length()
        self.n = 6 + self.kappa + self.nu
        self.B = [generator("B", a, j, t) for a in range(self.G) for j in range(self.J) for t in range(64)]

    def file(self, name: str) -> bytes:
        """Return the bytes of a required file."""
        require(name in self.files, "V1", f"{name} is missing")
        return self.files[name]

    def points(self, name: str, magic: bytes, count: int) -> list[bytes]:
        """Return the encodings of a file of points."""
        file = File(self.file(name), magic)
        require(file.number(8) == count, "V1", f"{name}: another number of points")
        found = [file.raw(33) for _ in range(count)]
        file.end()
        return found

    def check(self) -> tuple[list[int] | None, list[int] | None]:
        """Check everything; return the totals of columns and of disclosed auxiliaries, if there are any."""
        require(bool(self.disclosed) or "auxtotals.cm1" not in self.files, "V1", "auxtotals.cm1 discloses nothing")
        for shard in range(self.S):
            self.check_shard(shard)
        if self.mode and not {"totals.cm1", "auxtotals.cm1"} & set(self.files):
            return None, None
        return self.check_totals(), self.check_auxiliary_totals() if self.disclosed else None

    def check_shard(self, shard: int) -> None:
        """Check the proof of a shard: repeat the transcript of P1 - P8, check V4 - V6."""
        file = File(self.file(f"shard-{shard:06d}.cm1"), b"CM1P")
        # V4
        require((file.raw(32), file.number(8)) == (self.digest, shard), "V4", "a proof about something else")
        transcript = Transcript("shard")
        transcript.absorb("statement", self.digest)
        transcript.absorb("shard", struct.pack(">Q", shard) + self.position_roots[shard] + self.slack_roots[shard])
        # P1
        mask = file.raw(33)
        transcript.absorb("mask", mask)
        # P2
        second, bits, powers_of_lambda = self.projections(transcript, file) if self.mode else (0, [], [])
        # P3
        tau = [transcript.challenge("tau") for _ in range(self.n)]
        # P4
        f, rho = 0, []
        for d in range(self.n):
            account_round = self.mode and d >= 6 + self.kappa
            t = file.scalars(4 if d == 0 else 2)
            p = file.scalars(2) if account_round else []
            transcript.absorb("round", scalar_bytes(t + p))
            z = transcript.challenge("rho")
            while d == 0 and z in (0, 1):
                z = transcript.challenge("rho")
            f = (f - tau[d] * sum(t) + inner(t, powers(z, 1, len(t)))) % R
            if account_round:
                second = ((second - sum(p)) * HALF + p[0] * z + p[1] * z * z) % R
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
        weights = [-inner(mus, (line[v] for line in self.L)) for v in range(self.V)]
        weights += [
            eq(packed, a) * (eq(val, j) * eq(bit, t) + theta[j] * 2**t) % R
            for a in range(self.G)
            for j in range(self.J)
            for t in range(64)
        ]
        weights.append(rho[0] * (1 - rho[0]) % R)
        weights += [mu * (pow(rho[d], e, R) - tau[d]) % R for d in range(self.n) for e in range(1, 5 if d == 0 else 3)]
        claim = beta + mu * (f - beta * beta + beta) + inner(mus, self.c)
        if self.mode:
            power = pow(mu, self.K + 2, R)
            for v in range(self.V):
                weights[v] += power * sum(eq(account, i) * bits[i][v] for i in range(self.N))
            weights += [power * (pow(z, e, R) - HALF) % R for z in account for e in (1, 2)]
            weights += [power * pow(HALF, self.nu, R) * each % R for each in powers_of_lambda]
            claim += power * second
        weights.append(0)

        # V6
        m = 2 * self.n + 3 + (2 * self.nu + 128 if self.mode else 0)
        bases = [(1, generator("A", v)) for v in range(self.V)] + [(chi, each) for each in self.B]
        bases += [(chi * chi, generator("M", e)) for e in range(m)] + [(1, generator("H"))]
        committed = [(eq(account, i), point(self.X[shard * self.N + i])) for i in range(self.N)]
        rows = self.N // self.G
        committed += [(chi * eq(row, h), point(self.rows[shard * rows + h])) for h in range(rows)]
        committed.append((chi * chi, point(mask)))
        check_opening("V6", transcript, file, bases, weights, committed, claim)

    def projections(self, transcript: Transcript, file: File) -> tuple[int, list[list[int]], list[int]]:
        """Section 5, P2 and V4: f'_0, R_lambda(i, v), and the powers of lambda."""
        seed = transcript.draw("proj")[:32]
        z = file.scalars(128)
        bound = 2 ** (62 + (self.N * self.V).bit_length() + 88 + 1)
        require(all(min(value, R - value) < bound for value in z), "V4", "a projection is out of range")
        for base, helper, c in zip(self.L, self.L2, self.c, strict=True):
            require(4 * sum(map(abs, base)) * 2 * bound < R, "V4", "the coefficients are too large for bounded mode")
            require(8 * (sum(map(abs, helper)) * 2**64 + abs(c)) < R, "V4", "the same, of the auxiliaries")
        transcript.absorb("z", scalar_bytes(z))
        powers_of_lambda = powers(transcript.challenge("lambda"), 0, 128)
        stream = hashlib.shake_256(bytes([18]) + b"crossmargin/1/proj" + seed).digest(16 * self.N * self.V)
        bits = []
        for i in range(self.N):
            starts = [16 * (i * self.V + v) for v in range(self.V)]
            words = [int.from_bytes(stream[start : start + 16], "little") for start in starts]
            bits.append([sum(each for bit, each in enumerate(powers_of_lambda) if word >> bit & 1) for word in words])
        return inner(powers_of_lambda, z), bits, powers_of_lambda

    def check_totals(self) -> list[int]:
        """Check the totals of all columns: P9, V7."""
        file = File(self.file("totals.cm1"), b"CM1T")
        require(file.raw(32) == self.snapshot_digest, "V7", "the totals are about another snapshot")
        data, totals = file.totals(self.V)
        nonce = file.raw(33)
        (s,) = file.scalars(1)
        file.end()
        require(all(abs(total) < 2**120 for total in totals), "V7", "a total is out of range")
        transcript = Transcript("totals")
        transcript.absorb("snapshot", self.snapshot_digest)
        transcript.absorb("T", data)
        transcript.absorb("Q", nonce)
        eta = transcript.challenge("c")
        terms = [(s, generator("H")), (-1, point(nonce)), *((-eta, point(each)) for each in self.X)]
        terms += [(eta * total, generator("A", v)) for v, total in enumerate(totals)]
        require(combine(terms) is None, "V7", "the totals are not those of the positions")
        return totals

    def check_auxiliary_totals(self) -> list[int]:
        """Check the totals of the disclosed auxiliaries: P10, V8."""
        file = File(self.file("auxtotals.cm1"), b"CM1U")
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


def main(arguments: Sequence[str]) -> int:
    """Verify the statement in a folder; return 0 if it holds, else 1."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print(__doc__)
        return 2
    folder = Path(arguments[0])
    try:
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in {".cm1", ".json"}}
        statement = Statement(files)
        for name in ("snapshot_digest", "digest", "policy_digest", "relation_digest"):
            label = "statement digest" if name == "digest" else name.replace("_", " ")
            print(f"{label:16} {getattr(statement, name).hex()}")
        totals, auxiliary_totals = statement.check()
    except RejectedError as error:
        print(f"REJECTED: {error}")
        return 1
    print(f"totals           {'closed: nothing is shown about the book' if totals is None else totals}")
    if auxiliary_totals is not None:
        print(f"disclosed totals {auxiliary_totals}")
    print("VERIFIED: compile the policy to the relation digest, and compare the digests with their publication (V10)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
