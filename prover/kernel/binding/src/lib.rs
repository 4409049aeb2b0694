//! The compiled kernel as a Python module: bytes and buffers in, bytes out, no arithmetic of its own.
//!
//! A scalar is 32 bytes, a point 64 bytes, x and y, and the identity 64 zero bytes; integers are big-endian. Arrays are
//! buffers of native 64-bit integers and are copied before the interpreter is released, so that nobody can change them
//! meanwhile. Wrong values raise `ValueError`, wrong types `TypeError`, before any work is done. No panic reaches Python.
//! Copies and results that memory has no room for raise `MemoryError`; smaller things inside end the process.

// Arguments and results are what Python's conventions make them, and comments on functions are their docstrings.
#![allow(clippy::unnecessary_wraps, clippy::doc_markdown, clippy::wildcard_imports)]

use std::panic::{self, AssertUnwindSafe, catch_unwind};

use crossmargin_kernel_core as core;
use crossmargin_kernel_core::{Affine, COMPRESSED_BYTES, Csr, POINT_BYTES, RESIDUE_BYTES, Refused, Scalar, room};
use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::{PyBufferError, PyMemoryError, PyOverflowError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Raised whenever a call of this module changes its arguments, results or meaning.
const INTERFACE_NUMBER: u32 = 3;

/// More threads than any machine has cores; a system may refuse to start so many.
const MAX_THREADS: usize = 1024;

/// Runs arithmetic with the interpreter released, and turns what it refuses, and a panic, into exceptions.
fn compute<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T, Refused> + Send) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(refused)) => Err(exception(refused)),
        Err(_) => Err(PyRuntimeError::new_err("the kernel failed, which shows a fault of this program")),
    }
}

/// Returns the exception for what is refused.
fn exception(refused: Refused) -> PyErr {
    match refused {
        Refused::Memory => PyMemoryError::new_err(refused.to_string()),
        _ => PyValueError::new_err(refused.to_string()),
    }
}

/// Decodes every encoding, or refuses all of them.
fn decode<E, T>(encodings: &[E], decode: impl Fn(&E) -> Option<T>, refusal: &'static str) -> Result<Vec<T>, Refused> {
    let mut decoded = room(encodings.len())?;
    for encoding in encodings {
        decoded.push(decode(encoding).ok_or(Refused::Invalid(refusal))?);
    }
    Ok(decoded)
}

/// Encodes everything, one after the other.
fn encode<T, const SIZE: usize>(values: &[T], encode: impl Fn(&T) -> [u8; SIZE]) -> Result<Vec<u8>, Refused> {
    let mut encoded = room(values.len().saturating_mul(SIZE))?;
    for value in values {
        encoded.extend(encode(value));
    }
    Ok(encoded)
}

/// Copies bytes.
fn copy(bytes: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut copy = room(bytes.len())?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// Returns bytes as an object.
fn object<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, data.len(), |object| {
        object.copy_from_slice(data);
        Ok(())
    })
}

/// Cuts bytes into encodings of `SIZE` bytes.
fn cut<'a, const SIZE: usize>(bytes: &'a [u8], refusal: &'static str) -> Result<&'a [[u8; SIZE]], Refused> {
    match bytes.as_chunks() {
        (encodings, []) => Ok(encodings),
        _ => Err(Refused::Invalid(refusal)),
    }
}

fn scalars(bytes: &[u8]) -> Result<Vec<Scalar>, Refused> {
    let encodings = cut::<RESIDUE_BYTES>(bytes, "scalars: must be 32 bytes each")?;
    decode(encodings, Scalar::from_bytes, "a scalar that is not below the group order")
}

fn scalar(bytes: &[u8]) -> Result<Scalar, Refused> {
    match scalars(bytes)?.as_slice() {
        [scalar] => Ok(*scalar),
        others => Err(Refused::Length { what: "scalars", expected: 1, found: others.len() }),
    }
}

fn points(bytes: &[u8]) -> Result<Vec<Affine>, Refused> {
    let encodings = cut::<POINT_BYTES>(bytes, "points: must be 64 bytes each")?;
    decode(encodings, Affine::from_bytes, "a point that is not on the curve")
}

fn point(bytes: &[u8]) -> Result<Affine, Refused> {
    match points(bytes)?.as_slice() {
        [point] => Ok(*point),
        others => Err(Refused::Length { what: "points", expected: 1, found: others.len() }),
    }
}

fn encode_scalars(scalars: &[Scalar]) -> Result<Vec<u8>, Refused> {
    encode(scalars, |scalar| scalar.to_bytes())
}

fn encode_points(points: &[Affine]) -> Result<Vec<u8>, Refused> {
    encode(points, |point| point.to_bytes())
}

/// Copies an array of 64-bit integers, the last index fastest.
fn integers<T: Element + Default>(name: &str, array: &Bound<'_, PyAny>) -> PyResult<Vec<T>> {
    let refusal = || {
        let kind = if name == "values" { "unsigned" } else { "signed" };
        PyValueError::new_err(format!("{name}: must be an array of {kind} native 64-bit integers"))
    };
    let not_integers = |error: PyErr| {
        if error.is_instance_of::<PyBufferError>(array.py()) { refusal() } else { error }
    };
    let buffer = PyBuffer::get(array).map_err(not_integers)?;
    // The order of bytes is part of the format that PyO3 leaves to its caller.
    let foreign = if cfg!(target_endian = "little") { &b">!"[..] } else { &b"<"[..] };
    if buffer.format().to_bytes().first().is_some_and(|order| foreign.contains(order)) {
        return Err(refusal());
    }
    let mut copy = room(buffer.item_count()).map_err(exception)?;
    copy.resize(buffer.item_count(), T::default());
    buffer.copy_to_slice(array.py(), &mut copy)?;
    Ok(copy)
}

/// Takes a number of things.
fn number(name: &str, given: &Bound<'_, PyAny>) -> PyResult<usize> {
    given.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(given.py()) {
            PyValueError::new_err(format!("{name}: must be from 0 to {}", usize::MAX))
        } else {
            error
        }
    })
}

/// Takes a number of threads.
fn threads(given: &Bound<'_, PyAny>) -> PyResult<usize> {
    match number("threads", given)? {
        threads @ 1..=MAX_THREADS => Ok(threads),
        _ => Err(PyValueError::new_err(format!("threads: must be from 1 to {MAX_THREADS}"))),
    }
}

/// Sparse rows of integers, copied from three buffers.
struct Rows {
    starts: Vec<i64>,
    indices: Vec<i64>,
    data: Vec<i64>,
}

impl Rows {
    fn copy(starts: &Bound<'_, PyAny>, indices: &Bound<'_, PyAny>, data: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            starts: integers("indptr", starts)?,
            indices: integers("indices", indices)?,
            data: integers("data", data)?,
        })
    }

    fn csr(&self) -> Result<Csr<'_>, Refused> {
        Csr::new(&self.starts, &self.indices, &self.data)
    }
}

/// Arithmetic of the crossmargin prover; made for `crossmargin_prover.backend.kernel` and for nobody else.
#[pymodule]
mod crossmargin_kernel {
    use super::*;

    /// Version of this module.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    /// Number of the interface between this module and its caller.
    #[pymodule_export]
    const INTERFACE: u32 = INTERFACE_NUMBER;

    /// Digest of the sources that this module was built from, or None where the build did not name it.
    #[pymodule_export]
    const SOURCES: Option<&str> = option_env!("CROSSMARGIN_KERNEL_SOURCES");

    /// Silence messages of panics, which could name secrets; the exception remains.
    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        panic::set_hook(Box::new(|_| {}));
        Ok(())
    }

    /// The points A_v and H, with tables that are kept between calls.
    #[pyclass(frozen)]
    struct PositionKey(core::PositionKey);

    #[pymethods]
    impl PositionKey {
        /// Make a key without columns. blinding: H.
        #[new]
        fn new(py: Python<'_>, blinding: &[u8]) -> PyResult<Self> {
            compute(py, || Ok(Self(core::PositionKey::new(point(blinding)?))))
        }

        /// Number of columns.
        #[getter]
        fn columns(&self, py: Python<'_>) -> usize {
            // Somebody else may have it locked, and need the interpreter to go on.
            py.detach(|| self.0.columns())
        }

        /// Append the points of columns `start` and following, where the key does not have them.
        fn extend(&self, py: Python<'_>, start: &Bound<'_, PyAny>, points: &[u8]) -> PyResult<()> {
            let start = number("start", start)?;
            compute(py, || self.0.extend(start, &super::points(points)?))
        }

        /// Return sum_v x_iv A_v + r_i H for every row i.
        fn commit<'py>(
            &self,
            py: Python<'py>,
            indptr: &Bound<'py, PyAny>,
            indices: &Bound<'py, PyAny>,
            data: &Bound<'py, PyAny>,
            blindings: &[u8],
            threads: &Bound<'py, PyAny>,
        ) -> PyResult<Bound<'py, PyBytes>> {
            let (rows, threads) = (Rows::copy(indptr, indices, data)?, super::threads(threads)?);
            let sums = compute(py, || encode_points(&self.0.commit(&rows.csr()?, &scalars(blindings)?, threads)?))?;
            object(py, &sums)
        }
    }

    /// The points B_b and H, with tables that are kept between calls.
    #[pyclass(frozen)]
    struct SlackKey(core::SlackKey);

    #[pymethods]
    impl SlackKey {
        /// Make a key for rows of as many bits as there are points. blinding: H.
        #[new]
        fn new(py: Python<'_>, points: &[u8], blinding: &[u8]) -> PyResult<Self> {
            compute(py, || Ok(Self(core::SlackKey::new(super::points(points)?, point(blinding)?)?)))
        }

        /// Return sum_b bit_b B_b + s_h H for every row h of values.
        fn commit<'py>(
            &self,
            py: Python<'py>,
            values: &Bound<'py, PyAny>,
            blindings: &[u8],
            threads: &Bound<'py, PyAny>,
        ) -> PyResult<Bound<'py, PyBytes>> {
            let (values, threads) = (integers("values", values)?, super::threads(threads)?);
            let sums = compute(py, || encode_points(&self.0.commit(&values, &scalars(blindings)?, threads)?))?;
            object(py, &sums)
        }
    }

    /// State of a sum-check over bits; alternate round and bind, then ask for the value.
    #[pyclass]
    struct BitSumcheck(core::BitSumcheck);

    #[pymethods]
    impl BitSumcheck {
        /// Start with values, `width` of each account, the point tau and the mask a.
        #[new]
        fn new(
            py: Python<'_>,
            values: &Bound<'_, PyAny>,
            width: &Bound<'_, PyAny>,
            tau: &[u8],
            mask: &[u8],
            threads: &Bound<'_, PyAny>,
        ) -> PyResult<Self> {
            let (values, threads) = (integers("values", values)?, super::threads(threads)?);
            let width = number("width", width)?;
            compute(py, || Ok(Self(core::BitSumcheck::new(values, width, scalars(tau)?, scalar(mask)?, threads)?)))
        }

        /// Return the coefficients t_{d,1..D_d}.
        fn round<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
            let coefficients = compute(py, || encode_scalars(&self.0.round()?))?;
            object(py, &coefficients)
        }

        /// Fix the variable of the round.
        fn bind(&mut self, py: Python<'_>, challenge: &[u8]) -> PyResult<()> {
            compute(py, || self.0.bind(scalar(challenge)?))
        }

        /// Return b_hat(rho), once every variable is bound.
        fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
            let value = compute(py, || self.0.value())?;
            object(py, &value.to_bytes())
        }
    }

    /// State of a sum-check over projections of records; read them, combine, alternate round and bind, then ask for the rest.
    #[pyclass]
    struct RecordSumcheck(core::RecordSumcheck);

    #[pymethods]
    impl RecordSumcheck {
        /// Start with records and the bits of the projections, a block for each account and for each column.
        #[new]
        #[allow(clippy::too_many_arguments)] // as many as the operation has
        fn new(
            py: Python<'_>,
            indptr: &Bound<'_, PyAny>,
            indices: &Bound<'_, PyAny>,
            data: &Bound<'_, PyAny>,
            columns: &Bound<'_, PyAny>,
            alpha: &[u8],
            beta: &[u8],
            threads: &Bound<'_, PyAny>,
        ) -> PyResult<Self> {
            let (rows, threads) = (Rows::copy(indptr, indices, data)?, super::threads(threads)?);
            let columns = number("columns", columns)?;
            compute(py, || {
                let (alpha, beta) = (copy(alpha)?, copy(beta)?);
                let Rows { starts, indices, data } = rows;
                Ok(Self(core::RecordSumcheck::new(starts, indices, data, columns, alpha, beta, threads)?))
            })
        }

        /// Return the projections of the records, signed integers of 16 bytes each.
        fn projections<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
            let projections = compute(py, || encode(&self.0.projections()?, |projection| projection.to_be_bytes()))?;
            object(py, &projections)
        }

        /// Weigh projection l by lambda^l.
        fn combine(&mut self, py: Python<'_>, challenge: &[u8]) -> PyResult<()> {
            compute(py, || self.0.combine(scalar(challenge)?))
        }

        /// Return the coefficients p_1 and p_2.
        fn round<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
            let coefficients = compute(py, || encode_scalars(&self.0.round()?))?;
            object(py, &coefficients)
        }

        /// Fix the variable of the round.
        fn bind(&mut self, py: Python<'_>, challenge: &[u8]) -> PyResult<()> {
            compute(py, || self.0.bind(scalar(challenge)?))
        }

        /// Return the weight of every column, once every variable is bound.
        fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
            let weights = compute(py, || encode_scalars(&self.0.weights()?))?;
            object(py, &weights)
        }

        /// Return the record at rho, an entry for every column, once every variable is bound.
        fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
            let record = compute(py, || encode_scalars(&self.0.record()?))?;
            object(py, &record)
        }
    }

    /// Return sum_i weights_i x_iv for every column v.
    #[pyfunction]
    fn fold_sparse<'py>(
        py: Python<'py>,
        indptr: &Bound<'py, PyAny>,
        indices: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        columns: &Bound<'py, PyAny>,
        weights: &[u8],
        threads: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (rows, threads) = (Rows::copy(indptr, indices, data)?, super::threads(threads)?);
        let columns = number("columns", columns)?;
        let sums =
            compute(py, || encode_scalars(&core::fold_sparse(&rows.csr()?, columns, &scalars(weights)?, threads)?))?;
        object(py, &sums)
    }

    /// Return sum_h weights_h bit_hb for every bit b of a row of values.
    #[pyfunction]
    fn fold_bits<'py>(
        py: Python<'py>,
        values: &Bound<'py, PyAny>,
        weights: &[u8],
        threads: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (values, threads) = (integers("values", values)?, super::threads(threads)?);
        let sums = compute(py, || encode_scalars(&core::fold_bits(&values, &scalars(weights)?, threads)?))?;
        object(py, &sums)
    }

    /// Return sum_k weights_k P_ki for every i; the points of row 0 come first, then those of row 1.
    #[pyfunction]
    fn fold_points<'py>(
        py: Python<'py>,
        points: &[u8],
        weights: &[u8],
        threads: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let threads = super::threads(threads)?;
        let sums =
            compute(py, || encode_points(&core::fold_points(&super::points(points)?, &scalars(weights)?, threads)?))?;
        object(py, &sums)
    }

    /// Return sum_i scalars_i points_i.
    #[pyfunction]
    fn msm<'py>(
        py: Python<'py>,
        scalars: &[u8],
        points: &[u8],
        threads: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let threads = super::threads(threads)?;
        let sum = compute(py, || core::msm(&super::scalars(scalars)?, &super::points(points)?, threads))?;
        object(py, &sum.to_bytes())
    }

    /// Return sum_i scalars_i P_i for points in SEC1's compressed form, 33 bytes each, none of them the identity.
    #[pyfunction]
    fn msm_encoded<'py>(
        py: Python<'py>,
        scalars: &[u8],
        encodings: &[u8],
        threads: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let threads = super::threads(threads)?;
        let sum = compute(py, || {
            let encodings = cut::<COMPRESSED_BYTES>(encodings, "encodings: must be 33 bytes each")?;
            core::msm_encoded(&super::scalars(scalars)?, encodings, threads)
        })?;
        object(py, &sum.to_bytes())
    }

    /// Fail as a fault of this program would; for the test that Python survives it.
    #[pyfunction]
    fn _fail(py: Python<'_>) -> PyResult<()> {
        compute(py, || panic!("a fault"))
    }
}
