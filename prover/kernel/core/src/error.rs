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
    /// Anything else.
    Invalid(&'static str),
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { what, expected, found } => write!(formatter, "{found} {what}: must be {expected}"),
            Self::Invalid(reason) => formatter.write_str(reason),
        }
    }
}

impl core::error::Error for Refused {}

/// Checks the number of things.
pub(crate) fn expect_length(what: &'static str, found: usize, expected: usize) -> Result<(), Refused> {
    if found == expected { Ok(()) } else { Err(Refused::Length { what, expected, found }) }
}
