"""Arguments that are wrong are refused with a clear error; a fault or a want of memory for copies ends no process.

That memory runs out for what the kernel makes inside ends it; the threat model says so.
"""

import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin_prover.backend import BackendError, select_backend
from crossmargin_verifier.protocol.field import ORDER, encode_scalar, encode_scalars
from crossmargin_verifier.protocol.generators import blinding_generator, position_generators
from crossmargin_verifier.protocol.group import PRIME, Affine

pytest.importorskip("crossmargin_kernel", reason="no compiled kernel is installed (make kernel)")
import crossmargin_kernel as kernel

from crossmargin_prover.backend.kernel import KernelBackend

BACKEND = KernelBackend(1)


def point(affine: Affine) -> bytes:
    return affine[0].to_bytes(32, "big") + affine[1].to_bytes(32, "big")


H = point(blinding_generator())
COLUMNS = b"".join(map(point, position_generators(3)))
ONE = encode_scalar(1)
STARTS = np.array([0, 2, 3])
INDICES = np.array([0, 2, 1])
DATA = np.array([5, -6, 7])
VALUES = np.arange(4, dtype=np.uint64)


def position_key() -> object:
    key = kernel.PositionKey(H)
    key.extend(0, COLUMNS)
    return key


def commit(starts: object = STARTS, indices: object = INDICES, data: object = DATA, threads: object = 1) -> bytes:
    return position_key().commit(starts, indices, data, ONE * 2, threads)


def fold(starts: object = STARTS, indices: object = INDICES, data: object = DATA, threads: object = 1) -> bytes:
    return kernel.fold_sparse(starts, indices, data, 3, ONE * 2, threads)


def project(starts: object = STARTS, indices: object = INDICES, data: object = DATA, threads: object = 1) -> bytes:
    return kernel.RecordSumcheck(starts, indices, data, 3, bytes(4), b"\xff" * 6, threads).projections()


sparse_calls = pytest.mark.parametrize("call", [commit, fold, project])


@sparse_calls
def test_sparse_rows_of_the_right_form_are_taken(call: Callable[..., bytes]) -> None:
    assert len(call()) in {2 * 64, 3 * 32, 16 * 16}


@sparse_calls
@pytest.mark.parametrize(
    "starts",
    [
        [],
        [1, 2, 3],
        [0, 2, 2],
        [0, 2, 4],
        [0, 4, 3],
        [0, -1, 3],
        [0, 2, -(2**63)],
        [-(2**63), 0, 3],
        [0, 2**63 - 1, 3],
        [0, 2, 2**63 - 1],
        [0, 0, 2, 3],
    ],
)
def test_broken_starts(call: Callable[..., bytes], starts: list[int]) -> None:
    with pytest.raises(ValueError, match=r"starts|weights: must be|blindings: must be|more records"):
        call(starts=np.array(starts, dtype=np.int64))


@pytest.mark.parametrize("call", [commit, fold])
@pytest.mark.parametrize("starts", [[0], [0, 3]])
def test_fewer_rows_than_scalars(call: Callable[..., bytes], starts: list[int]) -> None:
    with pytest.raises(ValueError, match=r"starts|weights: must be|blindings: must be"):
        call(starts=np.array(starts, dtype=np.int64))


@sparse_calls
@pytest.mark.parametrize("column", [3, 2**32, 2**63 - 1, -1, -(2**63)])
def test_columns_out_of_range(call: Callable[..., bytes], column: int) -> None:
    with pytest.raises(ValueError, match="column"):
        call(indices=np.array([0, column, 1]))


@sparse_calls
@pytest.mark.parametrize("wrong", [INDICES[:2], np.array([0, 1, 2, 0])])
def test_lengths_that_do_not_match(call: Callable[..., bytes], wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="values of sparse rows: must be"):
        call(indices=wrong)
    with pytest.raises(ValueError, match="values of sparse rows: must be"):
        call(data=wrong)


@sparse_calls
@pytest.mark.parametrize("kind", ["float64", "int32", "uint64", ">i8", "complex128", "bool", "S8", "M8[s]"])
@pytest.mark.parametrize("name", ["starts", "indices", "data"])
def test_integers_of_another_type(call: Callable[..., bytes], kind: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"native 64-bit integers|cannot include dtype"):
        call(**{name: np.zeros(3, dtype=kind)})


@sparse_calls
@pytest.mark.parametrize("wrong", [None, [0, 2, 3], "0,2,3", 7])
def test_no_array(call: Callable[..., bytes], wrong: object) -> None:
    with pytest.raises(TypeError):
        call(data=wrong)


@sparse_calls
@pytest.mark.parametrize("threads", [0, -1, 1025, 2**64, -(2**70)])
def test_numbers_of_threads(call: Callable[..., bytes], threads: int) -> None:
    with pytest.raises(ValueError, match="threads: must be"):
        call(threads=threads)
    with pytest.raises(TypeError):
        call(threads=1.5)


@sparse_calls
def test_the_smallest_integer_is_a_value(call: Callable[..., bytes]) -> None:
    least = np.array([-(2**63), 2**63 - 1, 0])
    half = np.array([-(2**62), 0, 0])
    if call is project:
        state = kernel.RecordSumcheck(STARTS, INDICES, least, 3, b"\xff" * 2, b"\xff" * 3, 1)
        assert state.projections() == (-1).to_bytes(16, "big", signed=True) * 8
    elif call is fold:
        sums = [int.from_bytes(fold(data=least)[at : at + 32], "big") for at in (0, 32, 64)]
        assert sums == [ORDER - 2**63, 0, 2**63 - 1]
    else:
        twice = kernel.PositionKey(bytes(64))
        twice.extend(0, COLUMNS)
        once = twice.commit(np.array([0, 1]), INDICES[:1], half[:1], ONE, 1)
        assert twice.commit(np.array([0, 1]), INDICES[:1], least[:1], ONE, 1) == kernel.msm(ONE * 2, once * 2, 1)


def test_nothing_is_computed_from_nothing() -> None:
    none = np.array([], dtype=np.int64)
    assert position_key().commit(np.array([0]), none, none, b"", 1) == b""
    assert kernel.fold_sparse(np.array([0]), none, none, 2, b"", 1) == bytes(64)
    assert kernel.RecordSumcheck(np.array([0]), none, none, 1, b"\1", b"\1", 1).projections() == bytes(8 * 16)
    assert kernel.msm(b"", b"", 1) == kernel.msm_encoded(b"", b"", 1) == bytes(64)
    assert kernel.SlackKey(H * 64, H).commit(np.array([], dtype=np.uint64), b"", 1) == b""
    with pytest.raises(ValueError, match="do not fill"):
        kernel.fold_bits(np.array([], dtype=np.uint64), b"", 1)
    with pytest.raises(ValueError, match="do not fill"):
        kernel.fold_points(b"", b"", 1)
    with pytest.raises(ValueError, match="power of two"):
        kernel.BitSumcheck(np.array([], dtype=np.uint64), 1, b"", ONE, 1)
    with pytest.raises(ValueError, match="64 for each value"):
        kernel.SlackKey(b"", H)


def record_state(*, combined: bool = False) -> kernel.RecordSumcheck:
    state = kernel.RecordSumcheck(STARTS, INDICES, DATA, 3, bytes(2), bytes(3), 1)
    if combined:
        state.combine(ONE)
    return state


@pytest.mark.parametrize("scalar", [ORDER, ORDER + 1, 2**256 - 1])
def test_scalars_that_are_not_reduced(scalar: int) -> None:
    data = ONE + scalar.to_bytes(32, "big")
    calls: list[Callable[[], object]] = [
        lambda: position_key().commit(STARTS, INDICES, DATA, data, 1),
        lambda: kernel.SlackKey(H * 64, H).commit(VALUES[:2], data, 1),
        lambda: kernel.BitSumcheck(VALUES[:2], 1, data + ONE * 5, ONE, 1),
        lambda: kernel.BitSumcheck(VALUES[:2], 1, ONE * 7, data[32:], 1),
        lambda: kernel.BitSumcheck(VALUES[:2], 1, ONE * 7, ONE, 1).bind(data[32:]),
        lambda: record_state().combine(data[32:]),
        lambda: record_state(combined=True).bind(data[32:]),
        lambda: kernel.fold_sparse(STARTS, INDICES, DATA, 3, data, 1),
        lambda: kernel.fold_bits(VALUES, data, 1),
        lambda: kernel.fold_points(H * 2, data, 1),
        lambda: kernel.msm(data, H * 2, 1),
        lambda: kernel.msm_encoded(data, b"\2" * 66, 1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="not below the group order"):
            call()


@pytest.mark.parametrize(
    "wrong",
    [
        H[:63] + bytes([H[63] ^ 1]),
        bytes(63) + b"\1",
        b"\1" + bytes(63),
        PRIME.to_bytes(32, "big") * 2,
        b"\xff" * 64,
        (PRIME + 1).to_bytes(32, "big") + H[32:],
    ],
)
def test_points_off_the_curve(wrong: bytes) -> None:
    calls: list[Callable[[], object]] = [
        lambda: kernel.PositionKey(wrong),
        lambda: kernel.PositionKey(H).extend(0, H + wrong),
        lambda: kernel.SlackKey(H * 63 + wrong, H),
        lambda: kernel.SlackKey(H * 64, wrong),
        lambda: kernel.fold_points(H + wrong, ONE * 2, 1),
        lambda: kernel.msm(ONE * 2, H + wrong, 1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="not on the curve"):
            call()


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 4), st.integers(0, 4))
def test_bytes_of_any_length(first: int, second: int, rows: int, width: int) -> None:
    """Zeros of all lengths are computed with or refused; zero bytes are scalars, and points too."""
    zeros, more, values = bytes(first), bytes(second), np.zeros(rows * width, dtype=np.uint64)
    starts, empty = np.zeros(rows + 1, dtype=np.int64), np.array([], dtype=np.int64)
    calls: list[Callable[[], object]] = [
        lambda: kernel.PositionKey(zeros),
        lambda: kernel.PositionKey(H).extend(rows, zeros),
        lambda: kernel.PositionKey(H).commit(starts, empty, empty, zeros, 1),
        lambda: kernel.SlackKey(zeros, more),
        lambda: kernel.SlackKey(bytes(64 * 64), H).commit(values, zeros, 1),
        lambda: kernel.BitSumcheck(values, width, zeros, more, 1),
        lambda: kernel.RecordSumcheck(starts, empty, empty, width, zeros, more, 1),
        lambda: kernel.fold_sparse(starts, empty, empty, width, zeros, 1),
        lambda: kernel.fold_bits(values, zeros, 1),
        lambda: kernel.fold_points(zeros, more, 1),
        lambda: kernel.msm(zeros, more, 1),
        lambda: kernel.msm_encoded(zeros, more, 1),
    ]
    for call in calls:
        try:
            result = call()
        except ValueError as error:
            assert str(error)
        else:
            assert result is not False


@pytest.mark.parametrize("columns", [2**20 + 1, 2**40, 2**63, 2**64, -1])
def test_more_columns_than_fit_memory(columns: int) -> None:
    with pytest.raises(ValueError, match="columns"):
        kernel.fold_sparse(STARTS, INDICES, DATA, columns, ONE * 2, 1)
    with pytest.raises(ValueError, match="columns"):
        kernel.RecordSumcheck(STARTS, INDICES, DATA, columns, bytes(2), bytes(3), 1)


@pytest.mark.parametrize("width", [0, 3, 2**32, 2**63, 2**64 - 1, 2**64, -1])
def test_widths_of_accounts(width: int) -> None:
    with pytest.raises(ValueError, match=r"power of two|width"):
        kernel.BitSumcheck(VALUES, width, ONE * 8, ONE, 1)


def test_columns_are_appended_without_gaps() -> None:
    key = kernel.PositionKey(H)
    with pytest.raises(ValueError, match="missing"):
        key.extend(1, COLUMNS)
    with pytest.raises(ValueError, match="start"):
        key.extend(-1, COLUMNS)
    assert key.columns == 0


def test_rounds_out_of_order() -> None:
    state = kernel.BitSumcheck(VALUES[:1], 1, ONE * 6, ONE, 1)
    with pytest.raises(ValueError, match="bound"):
        state.value()
    for _ in range(6):
        state.bind(ONE)
    with pytest.raises(ValueError, match="bound"):
        state.bind(ONE)
    with pytest.raises(ValueError, match="bound"):
        state.round()


def test_records_out_of_order() -> None:
    state = record_state()
    for call in (state.round, lambda: state.bind(ONE), state.weights, state.record):
        with pytest.raises(ValueError, match=r"combined|bound"):
            call()
    state.combine(ONE)
    for again in (lambda: state.combine(ONE), state.projections):
        with pytest.raises(ValueError, match="combined already"):
            again()
    state.bind(ONE)
    for call in (state.round, lambda: state.bind(ONE)):
        with pytest.raises(ValueError, match="every variable is bound"):
            call()
    assert len(state.weights()) == 3 * 32


@pytest.mark.parametrize(
    ("alpha", "beta", "words"),
    [
        (0, 3, "power of two"),
        (3, 3, "power of two"),
        (6, 6, "power of two"),
        (1, 3, "more records"),
        (2, 2, "block for each"),
        (2, 4, "block for each"),
        (2, 0, "block for each"),
    ],
)
def test_bits_that_do_not_fit_the_records(alpha: int, beta: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kernel.RecordSumcheck(STARTS, INDICES, DATA, 3, bytes(alpha), bytes(beta), 1)


def test_a_fault_inside_becomes_an_exception(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="the kernel failed"):
        kernel._fail()
    assert capfd.readouterr() == ("", "")
    assert len(fold()) == 96


LIMITED = """
import mmap, resource, sys
import numpy as np
import crossmargin_kernel as kernel

ONE, MIB = (1).to_bytes(32, "big"), 1 << 20
what, spare = sys.argv[1], int(sys.argv[2]) * MIB
starts, values = np.arange(9), np.zeros(8 * MIB, dtype=np.uint64)
scalars = ONE * (2 * MIB)
used = int(open("/proc/self/statm").read().split()[0]) * mmap.PAGESIZE
resource.setrlimit(resource.RLIMIT_AS, (used + spare, used + spare))
calls = {
    "values": lambda: kernel.fold_bits(values, ONE, 1),
    "scalars": lambda: kernel.msm(scalars, b"", 1),
    "points": lambda: kernel.msm(b"", bytes(len(scalars)), 1),
    "sums": lambda: kernel.fold_sparse(starts, starts[:8], starts[:8], 1 << 20, ONE * 8, 1),
}
if what == "threads":
    data = ONE * 64, bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798") * 64
    print(kernel.msm_encoded(*data, 1024) == kernel.msm_encoded(*data, 1))
else:
    try:
        calls[what]()
    except MemoryError:
        print("MemoryError")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of memory is needed")
@pytest.mark.parametrize(
    ("what", "spare", "words"),
    [
        ("values", 32, "MemoryError"),
        ("scalars", 32, "MemoryError"),
        ("points", 80, "MemoryError"),
        ("sums", 16, "MemoryError"),
        ("threads", 24, "True"),
    ],
)
def test_want_of_memory_for_copies_or_threads_ends_no_process(what: str, spare: int, words: str) -> None:
    command = [sys.executable, "-c", LIMITED, what, str(spare)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (0, f"{words}\n"), finished.stderr


def test_keys_serve_several_threads() -> None:
    key, expected, found = position_key(), commit(), []
    many = (np.arange(2001), np.arange(2000) % 3, np.arange(2000) - 1000, ONE * 2000)

    def work() -> None:
        key.commit(*many, 2)
        found.append(key.commit(STARTS, INDICES, DATA, ONE * 2, 1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


@pytest.mark.parametrize(("name", "value"), [("INTERFACE", 1), ("INTERFACE", "2"), ("VERSION", "0.0.9")])
def test_another_kernel_is_refused_before_it_is_used(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    monkeypatch.setattr(kernel, name, value)
    for choose in (KernelBackend, select_backend):
        with pytest.raises(BackendError, match=r"this package needs .*make kernel.*reference backend"):
            choose()


def test_a_kernel_without_a_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(kernel, "INTERFACE")
    with pytest.raises(BackendError, match="interface None"):
        select_backend("kernel")


def test_the_adapter_refuses_what_it_cannot_hand_over() -> None:
    with pytest.raises(ValueError, match="an entry beyond the last column") as refused:
        BACKEND.commit_sparse(np.array([0, 1]), np.array([2**40]), np.array([1]), [1])
    assert str(2**40) not in str(refused.value)
    with pytest.raises(ValueError, match="uint64"):
        BACKEND.commit_bits(np.zeros((2, 1), dtype=np.int64), 0, [1, 2])
    with pytest.raises(ValueError, match="dimensions"):
        BACKEND.fold_bits(np.zeros(4, dtype=np.uint64), 0, [1])
    with pytest.raises(ValueError, match="rows of different lengths"):
        BACKEND.fold_points([[None], []], [1, 2])
    with pytest.raises(ValueError, match="accounts"):
        BACKEND.fold_bits(np.zeros((3, 1), dtype=np.uint64), 1, [1])
    with pytest.raises(ValueError, match="must be"):
        BACKEND.commit_bits(np.zeros((4, 1), dtype=np.uint64), 1, encode_scalars([1, 2])[:1])
