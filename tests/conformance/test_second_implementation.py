"""A second verifier, written from docs/SPEC.md alone, accepts both complete proofs of the test vectors.

It shares no code with the project, favours the shortest form of every step over speed, and checks no input that is
not there to be checked: it shows that the specification determines the bytes, and is no verifier to use.
"""

import hashlib
import json
import struct
from pathlib import Path

import pytest

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "protocol.json").read_text(encoding="utf-8"))

P = 2**256 - 2**32 - 977
R = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF = pow(2, -1, R)


# Section 1: hashing, group, generators, transcript.


def tagged(label: str, data: bytes) -> bytes:
    tag = b"crossmargin/1/" + label.encode()
    return hashlib.sha256(bytes([len(tag)]) + tag + data).digest()


def add(left, right):
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


def combine(terms):
    """Return the sum of scalar * point, six bits of all scalars at a time, by sorting points into buckets."""
    terms = [(scalar % R, point) for scalar, point in terms]
    total = None
    for shift in range(252, -1, -6):
        for _ in range(6):
            total = add(total, total)
        buckets = [None] * 64
        for scalar, point in terms:
            digit = scalar >> shift & 63
            if digit:
                buckets[digit] = add(buckets[digit], point)
        running = None
        for bucket in reversed(buckets[1:]):
            running = add(running, bucket)
            total = add(total, running)
    return total


def lift(x: int, odd: int):
    square = (x**3 + 7) % P
    y = pow(square, (P + 1) // 4, P)
    if x >= P or y * y % P != square:
        return None
    return x, y if y % 2 == odd else P - y


def point(data: bytes):
    return lift(int.from_bytes(data[1:], "big"), {2: 0, 3: 1}[data[0]])


def generator(kind: bytes, *numbers: int):
    label = kind + b"".join(struct.pack(">I", number) for number in numbers)
    counter, found = 0, None
    while found is None:
        found = lift(int.from_bytes(tagged("gen", label + struct.pack(">I", counter)), "big"), 0)
        counter += 1
    return found


class Transcript:
    def __init__(self, kind: str) -> None:
        self.state = tagged("transcript", bytes([len(kind)]) + kind.encode())

    def absorb(self, label: str, data: bytes) -> None:
        message = self.state + bytes([len(label)]) + label.encode() + struct.pack(">Q", len(data)) + data
        self.state = tagged("absorb", message)

    def draw(self, label: str) -> bytes:
        message = self.state + bytes([len(label)]) + label.encode()
        self.state = tagged("challenge2", message)
        return tagged("challenge0", message) + tagged("challenge1", message)

    def challenge(self, label: str) -> int:
        return int.from_bytes(self.draw(label), "big") % R


class File:
    def __init__(self, data: bytes, magic: bytes) -> None:
        self.data, self.at = data, 0
        assert self.raw(4) == magic
        assert self.number(2) == 1

    def raw(self, size: int) -> bytes:
        self.at += size
        assert self.at <= len(self.data)
        return self.data[self.at - size : self.at]

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.raw(size), "big", signed=signed)

    def text(self) -> str:
        return self.raw(self.number(2)).decode()

    def scalars(self, count: int) -> list[int]:
        return [self.number(32) for _ in range(count)]

    def end(self) -> None:
        assert self.at == len(self.data)


def scalar_bytes(values) -> bytes:
    return b"".join(value.to_bytes(32, "big") for value in values)


def eq(at: list[int], index: int) -> int:
    product = 1
    for position, value in enumerate(at):
        product = product * (value if index >> position & 1 else 1 - value) % R
    return product


# Section 2: trees.


def shard_roots_and_root(points: list[bytes], shards: int):
    level = [hashlib.sha256(b"\0" + encoded).digest() for encoded in points]
    while len(level) > shards:
        level = parents(level)
    roots = list(level)
    while len(level) & (len(level) - 1):
        level.append(bytes(32))
    while len(level) > 1:
        level = parents(level)
    return roots, level[0]


def parents(level: list[bytes]) -> list[bytes]:
    return [hashlib.sha256(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level), 2)]


# P7, P8, V6.


def check_opening(transcript: Transcript, file: File, bases, weights: list[int], committed, claim: int) -> None:
    """bases: (factor, point); committed: P_0 as (scalar, point)."""
    length = 1 << (len(bases) - 1).bit_length()
    gamma = file.raw(33)
    u = file.number(32)
    transcript.absorb("open", gamma + scalar_bytes([u]))
    eta, xi = transcript.challenge("c"), transcript.challenge("xi")
    challenges, messages = [], []
    for _ in range(length.bit_length() - 3):
        message = file.raw(66)
        transcript.absorb("fold", message)
        challenges.append(transcript.challenge("x"))
        messages.append((point(message[:33]), point(message[33:])))
    s = file.scalars(4)
    file.end()

    folded = weights + [0] * (length - len(weights))
    for x in challenges:
        half = len(folded) // 2
        folded = [(x * folded[i] + folded[half + i]) % R for i in range(half)]
    terms = []
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
    value = xi * sum(a * b for a, b in zip(s, folded, strict=True)) - later * xi * (u + eta * claim)
    terms += [(value, generator(b"U")), (-later, point(gamma))]
    terms += [(-later * eta * scalar, each) for scalar, each in committed]
    assert combine(terms) is None


class Statement:
    """The files of one directory, parsed, with digests and trees checked (section 6, V1 - V3)."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        columns_digest = tagged("columns", files["columns.cm1"])

        file = File(files["relation.cm1"], b"CM1L")
        assert file.raw(32) == columns_digest
        self.V, self.Q, self.K = file.number(4), file.number(4), file.number(4)
        self.disclosed = [u for u in range(self.Q) if (file.text(), file.number(1))[1]]
        self.L, self.L2, self.c = [], [], []
        for _ in range(self.K):
            file.text()
            self.L.append([file.number(16, signed=True) for _ in range(self.V)])
            self.L2.append([file.number(16, signed=True) for _ in range(self.Q)])
            self.c.append(file.number(16, signed=True))
        file.end()

        file = File(files["snapshot.cm1"], b"CM1S")
        file.text(), file.number(8)
        assert file.raw(32) == columns_digest
        self.N, self.S, position_root = file.number(8), file.number(8), file.raw(32)
        file.end()
        self.snapshot_digest = tagged("snapshot", files["snapshot.cm1"])

        file = File(files["statement.cm1"], b"CM1M")
        assert file.raw(32) == self.snapshot_digest
        assert file.raw(32) == tagged("relation", files["relation.cm1"])
        file.raw(32)
        self.gamma, self.mode, slack_root = file.number(1), file.number(1), file.raw(32)
        file.end()
        self.digest = tagged("statement", files["statement.cm1"])

        self.G, self.nu, self.J = 1 << self.gamma, self.N.bit_length() - 1, self.K + self.Q
        self.kappa = (self.J - 1).bit_length()
        self.n = 6 + self.kappa + self.nu
        self.X = self.points("positions.cm1", b"CM1X", self.S * self.N)
        self.rows = self.points("slack.cm1", b"CM1R", self.S * self.N // self.G)
        self.position_roots, root = shard_roots_and_root(self.X, self.S)
        assert root == position_root
        self.slack_roots, root = shard_roots_and_root(self.rows, self.S)
        assert root == slack_root
        self.B = [generator(b"B", a, j, t) for a in range(self.G) for j in range(self.J) for t in range(64)]

    def points(self, name: str, magic: bytes, count: int) -> list[bytes]:
        file = File(self.files[name], magic)
        assert file.number(8) == count
        found = [file.raw(33) for _ in range(count)]
        file.end()
        return found

    def check_shard(self, shard: int) -> None:
        file = File(self.files[f"shard-{shard:06d}.cm1"], b"CM1P")
        assert (file.raw(32), file.number(8)) == (self.digest, shard)
        transcript = Transcript("shard")
        transcript.absorb("statement", self.digest)
        roots = self.position_roots[shard] + self.slack_roots[shard]
        transcript.absorb("shard", struct.pack(">Q", shard) + roots)
        mask = file.raw(33)
        transcript.absorb("mask", mask)  # P1
        if self.mode:  # P2
            projections = self.projections(transcript, file)
        tau = [transcript.challenge("tau") for _ in range(self.n)]  # P3
        f, second, rho = 0, projections["claim"] if self.mode else 0, []
        for d in range(self.n):  # P4
            account_round = self.mode and d >= 6 + self.kappa
            t = file.scalars(4 if d == 0 else 2)
            p = file.scalars(2) if account_round else []
            transcript.absorb("round", scalar_bytes(t + p))
            z = transcript.challenge("rho")
            while d == 0 and z in (0, 1):
                z = transcript.challenge("rho")
            f = (f - tau[d] * sum(t) + sum(each * pow(z, e, R) for e, each in enumerate(t, start=1))) % R
            if account_round:
                second = ((second - sum(p)) * HALF + p[0] * z + p[1] * z * z) % R
            rho.append(z)
        beta = file.number(32)
        transcript.absorb("beta", scalar_bytes([beta]))  # P5
        mu, chi = transcript.challenge("mu"), transcript.challenge("chi")

        # P6
        bit, val, account = rho[:6], rho[6 : 6 + self.kappa], rho[6 + self.kappa :]
        packed, row = account[: self.gamma], account[self.gamma :]
        powers = [pow(mu, k + 2, R) for k in range(self.K)]
        theta = powers + [-sum(m * line[u] for m, line in zip(powers, self.L2, strict=True)) for u in range(self.Q)]
        weights = [-sum(m * line[v] for m, line in zip(powers, self.L, strict=True)) % R for v in range(self.V)]
        weights += [
            eq(packed, a) * (eq(val, j) * eq(bit, t) + theta[j] * 2**t) % R
            for a in range(self.G)
            for j in range(self.J)
            for t in range(64)
        ]
        weights.append(rho[0] * (1 - rho[0]) % R)
        weights += [mu * (pow(rho[d], e, R) - tau[d]) % R for d in range(self.n) for e in range(1, 5 if d == 0 else 3)]
        claim = beta + mu * (f - beta * beta + beta) + sum(m * c for m, c in zip(powers, self.c, strict=True))
        if self.mode:
            power = pow(mu, self.K + 2, R)
            for v in range(self.V):
                weights[v] += power * sum(eq(account, i) * projections["bits"][i][v] for i in range(self.N))
            weights += [power * (pow(z, e, R) - HALF) % R for z in account for e in (1, 2)]
            weights += [power * pow(HALF, self.nu, R) * each % R for each in projections["powers"]]
            claim += power * second
        weights.append(0)
        m = 2 * self.n + 3 + (2 * self.nu + 128 if self.mode else 0)
        bases = [(1, generator(b"A", v)) for v in range(self.V)] + [(chi, each) for each in self.B]
        bases += [(chi * chi, generator(b"M", e)) for e in range(m)] + [(1, generator(b"H"))]
        assert len(bases) == len(weights)
        committed = [(eq(account, i), point(self.X[shard * self.N + i])) for i in range(self.N)]
        rows = self.N // self.G
        committed += [(chi * eq(row, h), point(self.rows[shard * rows + h])) for h in range(rows)]
        committed.append((chi * chi, point(mask)))
        check_opening(transcript, file, bases, weights, committed, claim)

    def projections(self, transcript: Transcript, file: File) -> dict:
        """Section 5, P2: the claim of the second sum-check, R_lambda(i, v), and the powers of lambda."""
        seed = transcript.draw("proj")[:32]
        z = file.scalars(128)
        bound = 2 ** (62 + (self.N * self.V).bit_length() + 88 + 1)
        assert all(min(value, R - value) < bound for value in z)
        transcript.absorb("z", scalar_bytes(z))
        challenge = transcript.challenge("lambda")
        powers = [pow(challenge, each, R) for each in range(128)]
        stream = hashlib.shake_256(bytes([18]) + b"crossmargin/1/proj" + seed).digest(16 * self.N * self.V)
        bits = []
        for i in range(self.N):
            starts = [16 * (i * self.V + v) for v in range(self.V)]
            words = [int.from_bytes(stream[start : start + 16], "little") for start in starts]
            bits.append([sum(power for each, power in enumerate(powers) if word >> each & 1) for word in words])
        return {"claim": sum(a * b for a, b in zip(powers, z, strict=True)) % R, "bits": bits, "powers": powers}

    def check_totals(self) -> list[int]:
        """P9, V7."""
        file = File(self.files["totals.cm1"], b"CM1T")
        assert (file.raw(32), file.number(4)) == (self.snapshot_digest, self.V)
        totals = file.raw(16 * self.V)
        gamma, s = file.raw(33), file.number(32)
        file.end()
        transcript = Transcript("totals")
        transcript.absorb("snapshot", self.snapshot_digest)
        transcript.absorb("T", struct.pack(">I", self.V) + totals)
        transcript.absorb("Q", gamma)
        eta = transcript.challenge("c")
        values = [int.from_bytes(totals[16 * v : 16 * v + 16], "big", signed=True) for v in range(self.V)]
        terms = [(s, generator(b"H")), (-1, point(gamma))] + [(-eta, point(each)) for each in self.X]
        terms += [(eta * total, generator(b"A", v)) for v, total in enumerate(values)]
        assert combine(terms) is None
        return values

    def check_auxiliary_totals(self) -> list[int]:
        """P10, V8."""
        file = File(self.files["auxtotals.cm1"], b"CM1U")
        count = len(self.disclosed)
        assert (file.raw(32), file.number(4)) == (self.digest, count)
        totals = file.raw(16 * count)
        transcript = Transcript("auxtotals")
        transcript.absorb("statement", self.digest)
        transcript.absorb("T", struct.pack(">I", count) + totals)
        zeta = transcript.challenge("zeta")
        values = [int.from_bytes(totals[16 * e : 16 * e + 16], "big", signed=True) for e in range(count)]
        weights = [0] * (len(self.B) + 1)
        for e, u in enumerate(self.disclosed):
            for a in range(self.G):
                for t in range(64):
                    weights[(a * self.J + self.K + u) * 64 + t] = pow(zeta, e, R) * 2**t
        bases = [(1, each) for each in [*self.B, generator(b"H")]]
        claim = sum(pow(zeta, e, R) * value for e, value in enumerate(values))
        check_opening(transcript, file, bases, weights, [(1, point(each)) for each in self.rows], claim)
        return values


def files_of(name: str) -> dict[str, bytes]:
    return {file: bytes.fromhex(data) for file, data in VECTORS[name]["files"].items()}


@pytest.mark.parametrize("name", ["tiny", "tiny_bounded"])
def test_shard_proof(name: str) -> None:
    Statement(files_of(name)).check_shard(0)


def test_totals() -> None:
    statement = Statement(files_of("tiny"))
    assert statement.check_totals() == [1025, 75, 9]
    assert statement.check_auxiliary_totals() == [12]


def test_changed_proof_is_refused() -> None:
    files = files_of("tiny")
    files["shard-000000.cm1"] = files["shard-000000.cm1"][:-1] + bytes([files["shard-000000.cm1"][-1] ^ 1])
    with pytest.raises(AssertionError):
        Statement(files).check_shard(0)
