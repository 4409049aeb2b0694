//! Arguments that are refused before any work is done.

use core::fmt;

/// Why arguments were refused; nothing in it is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A number of things other than the one that the other arguments make necessary.
    Length {
        /// What there are.
        what: &'static str,
        /// How many there must be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// An encoding that is no point's.
    Encoding {
        /// Its number, from 0.
        index: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Memory for what has the size of the arguments.
    Memory,
    /// Anything else.
    Invalid(&'static str),
}

/// Why bytes are no compressed point; in the words of the Python decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The first byte is another one.
    Prefix(u8),
    /// The coordinate is not reduced.
    Coordinate,
    /// There is no point with this coordinate.
    OffCurve,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => write!(formatter, "point with prefix {prefix}: must be 2 or 3"),
            Self::Coordinate => formatter.write_str("point with x not below the field prime"),
            Self::OffCurve => formatter.write_str("point not on the curve"),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { what, expected, found } => write!(formatter, "{found} {what}: must be {expected}"),
            Self::Encoding { index, fault } => write!(formatter, "point {index}: {fault}"),
            Self::Memory => formatter.write_str("memory ran out"),
            Self::Invalid(reason) => formatter.write_str(reason),
        }
    }
}

impl core::error::Error for Refused {}

/// Returns an empty vector with room for `count` things.
///
/// # Errors
/// The system has no such memory.
pub fn room<T>(count: usize) -> Result<Vec<T>, Refused> {
    let mut empty = Vec::new();
    empty.try_reserve_exact(count).map_err(|_| Refused::Memory)?;
    Ok(empty)
}

/// Checks the number of things.
pub(crate) fn expect_length(what: &'static str, found: usize, expected: usize) -> Result<(), Refused> {
    if found == expected { Ok(()) } else { Err(Refused::Length { what, expected, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_no_machine_has_is_refused() {
        assert_eq!(room::<u64>(usize::MAX), Err(Refused::Memory));
        assert_eq!(room::<u64>(1 << 58), Err(Refused::Memory));
        assert!(room::<u64>(7).expect("small").capacity() >= 7);
    }
}
