"""The compiled kernel as arithmetic: the same points and refusals as plain Python, and clear errors without it."""

import pickle
import random
import subprocess
import sys
from importlib.util import find_spec
from types import ModuleType

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from crossmargin_circuits.version import VERSION
from crossmargin_verifier.cli import main
from crossmargin_verifier.kernel import INTERFACE, KernelArithmetic, KernelError, load_kernel
from crossmargin_verifier.protocol.arithmetic import PLAIN, MalformedPointError
from crossmargin_verifier.protocol.errors import MalformedError
from crossmargin_verifier.protocol.field import ORDER, encode_scalars
from crossmargin_verifier.protocol.generators import position_generators
from crossmargin_verifier.protocol.group import PRIME, Affine, encode_point, negate

needs_kernel = pytest.mark.skipif(
    find_spec("crossmargin_kernel") is None, reason="the compiled kernel is not installed"
)
POINTS = position_generators(12)
KERNEL = KernelArithmetic(1)


def encoded(points: list[Affine]) -> bytes:
    return b"".join(map(encode_point, points))


def both_multiply(scalars: list[int], points: list[Affine]) -> None:
    assert KERNEL.msm(scalars, points) == PLAIN.msm(scalars, points)
    data = encode_scalars(scalars), encoded(points)
    assert KERNEL.msm_encoded(*data) == PLAIN.msm_encoded(*data)


edges = st.sampled_from([0, 1, 2, ORDER - 1, ORDER // 2, 2**128, 2**255, -1]) | st.integers(0, ORDER - 1)


@needs_kernel
@given(st.lists(st.tuples(edges, st.sampled_from(POINTS), st.booleans()), max_size=40))
def test_sums(terms: list[tuple[int, Affine, bool]]) -> None:
    """Also of equal and opposite points, whose sums need the doubling and the identity."""
    points = [negate(point) if opposite else point for _, point, opposite in terms]
    both_multiply([scalar for scalar, _, _ in terms], points)  # type: ignore[arg-type]


@needs_kernel
@pytest.mark.parametrize("size", [1, 2, 31, 700, 5000])
def test_long_sums_of_few_points(size: int) -> None:
    """A prover may repeat a point or its opposite as often as he likes."""
    generator = random.Random(size)
    scalars = [generator.choice([1, 5, ORDER - 5, generator.randrange(ORDER)]) for _ in range(size)]
    points = [generator.choice([POINTS[0], (POINTS[0][0], PRIME - POINTS[0][1]), POINTS[1]]) for _ in range(size)]
    both_multiply(scalars, points)


@needs_kernel
def test_sums_that_are_the_identity() -> None:
    both_multiply([], [])
    both_multiply([0, 0], POINTS[:2])
    both_multiply([1, ORDER - 1], [POINTS[0], POINTS[0]])
    both_multiply([7] * 64, [POINTS[0], (POINTS[0][0], PRIME - POINTS[0][1])] * 32)


def refusal(arithmetic: object, encodings: bytes) -> tuple[int, str] | None:
    scalars = bytes(32 * (len(encodings) // 33))
    try:
        arithmetic.msm_encoded(scalars, encodings)  # type: ignore[attr-defined]
    except MalformedPointError as error:
        return error.index, error.reason
    return None


hostile = st.one_of(
    st.binary(min_size=33, max_size=33),
    st.sampled_from(POINTS).map(encode_point),
    st.builds(
        lambda prefix, x: bytes([prefix]) + x.to_bytes(32, "big"),
        st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 0x82, 255]),
        st.sampled_from([0, 1, 5, PRIME - 1, PRIME, PRIME + 1, 2**256 - 1, *[point[0] for point in POINTS]]),
    ),
    st.builds(lambda x: bytes([2]) + x.to_bytes(32, "big"), st.integers(0, 2**256 - 1)),
)


@needs_kernel
@given(st.lists(hostile, min_size=1, max_size=8))
@example([bytes([2]) + (PRIME + POINTS[0][0]).to_bytes(33, "big")[1:]])
def test_hostile_encodings_are_refused_alike(encodings: list[bytes]) -> None:
    """Also under zero scalars, with the number of the first one and the same words."""
    data = b"".join(encodings)
    assert refusal(KERNEL, data) == refusal(PLAIN, data)


@needs_kernel
def test_every_place_is_looked_at() -> None:
    good = encoded(POINTS)
    for place in range(len(POINTS)):
        bad = bytearray(good)
        bad[33 * place] ^= 4
        assert (
            refusal(KERNEL, bytes(bad))
            == refusal(PLAIN, bytes(bad))
            == (place, f"point with prefix {bad[33 * place]}: must be 2 or 3")
        )


def test_a_refusal_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(MalformedPointError(3, "point not on the curve")))  # noqa: S301
    assert isinstance(error, MalformedError)
    assert (error.index, str(error)) == (3, "point 3: point not on the curve")
    assert pickle.loads(pickle.dumps((PLAIN, KERNEL))) == (PLAIN, KERNEL)  # noqa: S301


class FakeKernel(ModuleType):
    VERSION = VERSION
    INTERFACE = INTERFACE

    def msm_encoded(self, scalars: bytes, encodings: bytes, threads: int) -> bytes:
        raise ValueError("point 0: the moon is full")

    def msm(self, scalars: bytes, points: bytes, threads: int) -> bytes:
        raise RuntimeError("the kernel failed")


def install(monkeypatch: pytest.MonkeyPatch, **figures: object) -> None:
    fake = FakeKernel("crossmargin_kernel")
    for name, value in figures.items():
        setattr(fake, name, value)
    monkeypatch.setitem(sys.modules, "crossmargin_kernel", fake)


def test_a_kernel_that_refuses_a_point_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(KernelError, match="the moon is full"):
        KERNEL.msm_encoded(bytes(32), encoded(POINTS[:1]))
    with pytest.raises(MalformedPointError, match="point 1: point with prefix 0"):
        KERNEL.msm_encoded(bytes(64), encoded(POINTS[:1]) + bytes(33))


def test_a_kernel_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(KernelError, match="the kernel failed"):
        KERNEL.msm([1], POINTS[:1])


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"VERSION": "0.0.9"}, "the installed kernel is 0.0.9, interface 3: this package needs 0.2.0, interface 3"),
        ({"INTERFACE": 1}, "the installed kernel is 0.2.0, interface 1: this package needs 0.2.0, interface 3"),
        ({"VERSION": None, "INTERFACE": None}, "the installed kernel is None, interface None"),
    ],
)
def test_another_kernel_is_refused(monkeypatch: pytest.MonkeyPatch, figures: dict[str, object], words: str) -> None:
    install(monkeypatch, **figures)
    with pytest.raises(KernelError, match=words):
        load_kernel()
    result = CliRunner().invoke(main, ["bundle", "nowhere", "--kernel"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"COULD NOT CHECK: {words}")
    assert result.stderr.endswith("or leave --kernel out\n")


def test_sources_are_the_provers_business(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verifier looks at nothing outside its own package: version and interface say which kernel belongs to it."""
    install(monkeypatch, SOURCES="0" * 64)
    assert load_kernel().SOURCES == "0" * 64


def test_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crossmargin_kernel", None)
    with pytest.raises(KernelError, match="the compiled kernel is not installed here"):
        load_kernel()
    result = CliRunner().invoke(main, ["bundle", "nowhere", "--kernel"])
    assert (result.exit_code, result.stdout) == (2, "")
    words = "the compiled kernel is not installed here; install crossmargin-kernel 0.2.0 or, in a checkout, run `make "
    assert result.stderr == f"COULD NOT CHECK: {words}kernel`, or leave --kernel out\n"


def test_the_kernel_is_not_loaded_unless_it_is_asked_for() -> None:
    code = "import sys, crossmargin_verifier.cli; sys.exit('crossmargin_kernel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
