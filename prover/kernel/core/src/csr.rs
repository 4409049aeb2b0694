//! Sparse rows of signed integers in compressed form.

use core::ops::Range;

use crate::error::{Refused, expect_length};

/// Rows of integers: row `i` has `data[e]` in column `indices[e]` for `starts[i] <= e < starts[i + 1]`.
#[derive(Clone, Copy)]
pub struct Csr<'a> {
    starts: &'a [i64],
    indices: &'a [i64],
    data: &'a [i64],
}

/// One entry: its column and its value.
pub(crate) type Entry = (usize, i64);

impl<'a> Csr<'a> {
    /// Checks and takes the three arrays.
    ///
    /// # Errors
    /// Lengths do not fit, starts decrease or do not cover all entries, or a column is negative.
    pub fn new(starts: &'a [i64], indices: &'a [i64], data: &'a [i64]) -> Result<Self, Refused> {
        expect_length("values of sparse rows", data.len(), indices.len())?;
        let ends = starts.first().zip(starts.last()).ok_or(Refused::Invalid("sparse rows without starts"))?;
        if *ends.0 != 0 || usize::try_from(*ends.1) != Ok(data.len()) || !starts.is_sorted() {
            return Err(Refused::Invalid("starts of sparse rows: must rise from 0 to the number of entries"));
        }
        if indices.iter().any(|&column| column < 0) {
            return Err(Refused::Invalid("a negative column"));
        }
        Ok(Self { starts, indices, data })
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Checks that every column is below `columns`.
    pub(crate) fn expect_columns(&self, columns: usize) -> Result<(), Refused> {
        let fits = self.entries(0..self.data.len()).all(|(column, _)| column < columns);
        if fits { Ok(()) } else { Err(Refused::Invalid("a column beyond the last one")) }
    }

    /// Returns the positions of the entries of some rows.
    pub(crate) fn positions(&self, rows: Range<usize>) -> Range<usize> {
        position(self.starts[rows.start])..position(self.starts[rows.end])
    }

    /// Returns the entries at these positions.
    pub(crate) fn entries(&self, positions: Range<usize>) -> impl Iterator<Item = Entry> {
        let columns = self.indices[positions.clone()].iter();
        columns.zip(&self.data[positions]).map(|(&column, &value)| (position(column), value))
    }
}

/// Returns an integer that was found not to be negative as a position.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // addresses have 64 bits where such lengths occur
fn position(value: i64) -> usize {
    value as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_arrays_are_refused() {
        assert!(Csr::new(&[0, 1, 3], &[5, 0, 1], &[7, -8, 9]).is_ok());
        assert!(Csr::new(&[0], &[], &[]).is_ok_and(|csr| csr.rows() == 0));
        for (starts, indices, data) in [
            (&[][..], &[][..], &[][..]),
            (&[1, 1], &[0], &[1]),
            (&[0, 2], &[0], &[1]),
            (&[0, 2, 1], &[0], &[1]),
            (&[0, 2, 1, 2], &[0, 1], &[1, 1]),
            (&[0, -1], &[], &[]),
            (&[0, 1], &[-1], &[1]),
            (&[0, 1], &[0], &[1, 2]),
            (&[0, i64::MAX], &[0], &[1]),
        ] {
            assert!(Csr::new(starts, indices, data).is_err());
        }
        let csr = Csr::new(&[0, 1], &[4], &[1]).expect("well-formed");
        assert!(csr.expect_columns(5).is_ok() && csr.expect_columns(4).is_err());
        assert_eq!(csr.entries(csr.positions(0..1)).collect::<Vec<_>>(), [(4, 1)]);
    }
}
