//! Commitments to rows: of sparse integers as `sum_v x_v A_v + r H`, of bits as `sum_b bit_b B_b + r H`.
//!
//! Tables belong to a key and are kept between calls. Rows are worked on a block at a time: each step adds one table
//! entry to each sum of the block, in one batch. Which entries are fetched, and how many, depends on the secrets.

use core::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::{Batch, Term};
use crate::csr::Csr;
use crate::error::{Refused, expect_length};
use crate::parallel::map_rows;
use crate::point::Affine;
use crate::scalar::Scalar;
use crate::tables::{FixedPoint, SubsetTables, WindowTable, signed_digits};

/// Rows of a block: enough for one inversion to cost little, few enough for the sums to stay in the cache.
const BLOCK_ROWS: usize = 1024;

/// Bytes that the tables of positions may take: fetching from larger ones costs as much as their additions save.
const POSITION_TABLE_BYTES: usize = 32 << 20;

/// Bytes that the tables of slacks may take; they are read in order.
const SLACK_TABLE_BYTES: usize = 256 << 20;

/// Bits of a magnitude of a signed 64-bit integer, and of a value.
const WORD_BITS: usize = 64;

/// Bits of a scalar.
const SCALAR_BITS: usize = 256;

/// Widest windows of `H`: 3 MiB of table.
const BLINDING_WIDTH: usize = 12;

/// Bits that one table of subset sums can cover: divisors of a byte.
const SUBSET_WIDTHS: [usize; 4] = [1, 2, 4, 8];

/// The points `A_v` and `H` with their tables.
pub struct PositionKey(Mutex<PositionTables>);

struct PositionTables {
    columns: Vec<FixedPoint>,
    blinding: FixedPoint,
}

impl PositionKey {
    /// Returns a key without columns.
    #[must_use]
    pub fn new(blinding: Affine) -> Self {
        Self(Mutex::new(PositionTables { columns: Vec::new(), blinding: FixedPoint::new(blinding) }))
    }

    /// Returns the number of columns.
    pub fn columns(&self) -> usize {
        locked(&self.0).columns.len()
    }

    /// Sets the points of columns `start` and following, where the key does not have them yet.
    ///
    /// # Errors
    /// Columns before `start` would be missing.
    pub fn extend(&self, start: usize, points: &[Affine]) -> Result<(), Refused> {
        let columns = &mut locked(&self.0).columns;
        let known = columns.len().checked_sub(start).ok_or(Refused::Invalid("columns would be missing"))?;
        columns.extend(points.iter().skip(known).map(|&point| FixedPoint::new(point)));
        Ok(())
    }

    /// Returns `sum_v x_iv A_v + r_i H` for every row `i`.
    ///
    /// # Errors
    /// There are not as many blindings as rows, or there is an entry in a column that the key lacks.
    pub fn commit(&self, rows: &Csr<'_>, blindings: &[Scalar], threads: usize) -> Result<Vec<Affine>, Refused> {
        expect_length("blindings", blindings.len(), rows.rows())?;
        rows.expect_columns(self.columns())?;
        let (columns, blinding) = self.tables(rows);
        Ok(in_blocks(rows.rows(), threads, |block, sums| {
            add_blindings(sums, &blinding, &blindings[block.clone()]);
            let entries: Vec<Range<usize>> = block.map(|row| rows.positions(row..row + 1)).collect();
            for number in 0..entries.iter().map(Range::len).max().unwrap_or(0) {
                let terms = entries.iter().enumerate().filter(|(_, entries)| number < entries.len());
                let terms = terms.flat_map(|(sum, entries)| {
                    let at = entries.start + number;
                    rows.entries(at..at + 1).map(move |(column, value)| (sum, column, value))
                });
                add_multiples(
                    sums,
                    terms.filter_map(|(sum, column, value)| {
                        Some((sum, columns[column].as_deref()?, [value.unsigned_abs()], value < 0))
                    }),
                );
            }
        }))
    }

    /// Returns the tables of the columns that have an entry other than zero, and that of `H`.
    fn tables(&self, rows: &Csr<'_>) -> (Vec<Option<Arc<WindowTable>>>, Arc<WindowTable>) {
        let tables = &mut *locked(&self.0);
        let mut uses = vec![(0, 0); tables.columns.len()];
        for (column, value) in rows.entries(rows.positions(0..rows.rows())) {
            let (count, magnitudes) = &mut uses[column];
            *count += 1;
            *magnitudes |= value.unsigned_abs();
        }
        let bytes = POSITION_TABLE_BYTES / uses.len().max(1);
        let columns = tables.columns.iter_mut().zip(uses).map(|(column, (count, magnitudes))| {
            let bits = WORD_BITS - magnitudes.leading_zeros() as usize;
            (bits > 0).then(|| column.table(count, bits, WindowTable::widest(WORD_BITS, bytes)))
        });
        (columns.collect(), tables.blinding.table(rows.rows(), SCALAR_BITS, BLINDING_WIDTH))
    }
}

/// The points `B_b` and `H` with their tables.
pub struct SlackKey {
    points: Vec<Affine>,
    tables: Mutex<SlackTables>,
}

struct SlackTables {
    rows: usize,
    subsets: Option<Arc<SubsetTables>>,
    blinding: FixedPoint,
}

impl SlackKey {
    /// Returns the key for rows of as many bits as there are points.
    ///
    /// # Errors
    /// There is no point, or a number of them that no whole values have.
    pub fn new(points: Vec<Affine>, blinding: Affine) -> Result<Self, Refused> {
        if points.is_empty() || !points.len().is_multiple_of(WORD_BITS) {
            return Err(Refused::Invalid("points of bits: must be 64 for each value of a row"));
        }
        let tables = SlackTables { rows: 0, subsets: None, blinding: FixedPoint::new(blinding) };
        Ok(Self { points, tables: Mutex::new(tables) })
    }

    /// Returns `sum_b bit_b B_b + s_h H` for every row `h`; a row is a number of values, the low bit of each first.
    ///
    /// # Errors
    /// The values do not fill as many rows as there are blindings.
    pub fn commit(&self, values: &[u64], blindings: &[Scalar], threads: usize) -> Result<Vec<Affine>, Refused> {
        let width = self.points.len() / WORD_BITS;
        expect_length("values of rows", values.len(), width.saturating_mul(blindings.len()))?;
        let (subsets, blinding) = self.tables(blindings.len());
        let groups = WORD_BITS / subsets.width;
        let mask = (1 << subsets.width) - 1;
        Ok(in_blocks(blindings.len(), threads, |block, sums| {
            add_blindings(sums, &blinding, &blindings[block.clone()]);
            let rows = &values[block.start * width..block.end * width];
            for word in 0..width {
                let column: Vec<u64> = rows.iter().skip(word).step_by(width).copied().collect();
                for group in 0..groups {
                    // A copy, since reading in order brings the table into the cache and reading at random does not.
                    let table = subsets.group(word * groups + group).to_vec();
                    #[allow(clippy::cast_possible_truncation)] // masked
                    let digit = |value: u64| (value >> (group * subsets.width) & mask) as usize;
                    let digits = column.iter().map(|&value| digit(value)).enumerate().filter(|&(_, digit)| digit != 0);
                    sums.add(digits.map(|(sum, digit)| Term { sum, point: &table[digit], negative: false }));
                }
            }
        }))
    }

    /// Returns the tables of subset sums and that of `H`; wider ones are made once they would have paid.
    fn tables(&self, rows: usize) -> (Arc<SubsetTables>, Arc<WindowTable>) {
        let tables = &mut *locked(&self.tables);
        tables.rows = tables.rows.saturating_add(rows);
        let fitting = SUBSET_WIDTHS
            .into_iter()
            .filter(|&width| width == 1 || SubsetTables::bytes(self.points.len(), width) <= SLACK_TABLE_BYTES);
        let cost = |width: usize| (tables.rows + (1 << width) - 1 - width) * (WORD_BITS / width);
        let width = fitting.min_by_key(|&width| cost(width)).unwrap_or(1);
        let subsets = match &tables.subsets {
            Some(made) if made.width >= width => Arc::clone(made),
            _ => Arc::clone(tables.subsets.insert(Arc::new(SubsetTables::new(&self.points, width)))),
        };
        (subsets, tables.blinding.table(rows, SCALAR_BITS, BLINDING_WIDTH))
    }
}

/// Returns what is locked. Tables are replaced whole, so that a panic elsewhere leaves them as they were.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the sums of all rows, a block of which `fill` makes at a time.
fn in_blocks(rows: usize, threads: usize, fill: impl Fn(Range<usize>, &mut Sums) + Sync) -> Vec<Affine> {
    map_rows(rows, threads, |rows| {
        let mut sums = Vec::with_capacity(rows.len());
        for start in rows.clone().step_by(BLOCK_ROWS) {
            let block = start..rows.end.min(start + BLOCK_ROWS);
            let mut block_sums = Sums { points: vec![Affine::IDENTITY; block.len()], batch: Batch::default() };
            fill(block, &mut block_sums);
            sums.extend(block_sums.points);
        }
        sums
    })
}

/// The sums of the rows of a block.
struct Sums {
    points: Vec<Affine>,
    batch: Batch,
}

impl Sums {
    /// Adds terms, at most one to each sum.
    fn add<'a>(&mut self, terms: impl Iterator<Item = Term<'a>>) {
        self.batch.accumulate(&mut self.points, &terms.collect::<Vec<_>>());
    }
}

fn add_blindings(sums: &mut Sums, table: &WindowTable, blindings: &[Scalar]) {
    add_multiples(sums, blindings.iter().enumerate().map(|(sum, blinding)| (sum, table, blinding.canonical(), false)));
}

/// Adds multiples of fixed points; a term is a sum's number, the point's table, and magnitude and sign of the integer.
///
/// Precondition: no sum is named twice.
fn add_multiples<'a, const LIMBS: usize>(
    sums: &mut Sums,
    terms: impl Iterator<Item = (usize, &'a WindowTable, [u64; LIMBS], bool)>,
) {
    let terms: Vec<_> = terms.collect();
    let Some(longest) = terms.iter().map(|(_, table, ..)| table.windows).max() else { return };
    let mut digits = vec![0; terms.len() * longest];
    for ((_, table, magnitude, negative), digits) in terms.iter().zip(digits.chunks_exact_mut(longest)) {
        signed_digits(magnitude, table.width, table.windows, |window, digit| {
            digits[window] = if *negative { -digit } else { digit };
        });
    }
    for window in 0..longest {
        let digits = digits.iter().skip(window).step_by(longest);
        let used = terms.iter().zip(digits).filter(|&(_, &digit)| digit != 0);
        let chosen: Vec<Term<'_>> =
            used.map(|((sum, table, ..), &digit)| table.multiple(*sum, window, digit)).collect();
        // Tables are larger than caches. All points are fetched at once, so that their ways from memory overlap.
        let points: Vec<Affine> = chosen.iter().map(|term| *term.point).collect();
        sums.add(chosen.iter().zip(&points).map(|(term, point)| Term { point, ..*term }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::windows;
    use crate::testing::{Numbers, edges, multiply, random_points, random_residues};

    fn signed(value: i64) -> Scalar {
        let magnitude = Scalar::from_limbs([value.unsigned_abs(), 0, 0, 0]);
        if value < 0 { -magnitude } else { magnitude }
    }

    #[test]
    fn sparse_rows_are_committed() {
        let points = random_points(20, 5);
        let key = PositionKey::new(points[4]);
        key.extend(0, &points[..2]).expect("from the start");
        key.extend(1, &points[1..4]).expect("without a gap");
        assert_eq!(key.columns(), 4);
        assert!(key.extend(5, &points).is_err());
        let (starts, indices) = ([0, 0, 2, 3, 6, 7], [3, 0, 1, 0, 1, 2, 2]);
        let data = [i64::MIN, i64::MAX, -1, 5, 0, -(1 << 62), 77];
        let rows = Csr::new(&starts, &indices, &data).expect("well-formed");
        let mut blindings = edges();
        blindings.truncate(2);
        blindings.extend(random_residues(21, 3));
        let expected: Vec<Affine> = (0..5)
            .map(|row| {
                let entries = rows.entries(rows.positions(row..row + 1));
                entries.fold(multiply(points[4], blindings[row]), |sum, (column, value)| {
                    sum.plus(multiply(points[column], signed(value)))
                })
            })
            .collect();
        for threads in [1, 3] {
            assert!(key.commit(&rows, &blindings, threads).expect("fitting") == expected);
        }
        assert!(key.commit(&rows, &blindings[1..], 1).is_err());
        let beyond = Csr::new(&[0, 1], &[4], &[1]).expect("well-formed");
        assert!(key.commit(&beyond, &blindings[..1], 1).is_err());
    }

    #[test]
    fn rows_of_bits_are_committed_with_every_width_of_tables() {
        let points = random_points(22, 129);
        let key = SlackKey::new(points[..128].to_vec(), points[128]).expect("whole values");
        let mut numbers = Numbers::new(23);
        let mut widths = Vec::new();
        for rows in [1, 3, 20, 600, 1] {
            let values: Vec<u64> = (0..2 * rows).map(|at| if at % 7 == 0 { 0 } else { numbers.next() }).collect();
            let blindings: Vec<Scalar> = random_residues(24, rows);
            let committed = key.commit(&values, &blindings, 2).expect("fitting");
            for row in [0, rows - 1] {
                let bits = (0..128).filter(|bit| values[2 * row + bit / 64] >> (bit % 64) & 1 == 1);
                let blinding = multiply(points[128], blindings[row]);
                assert!(committed[row] == bits.fold(blinding, |sum, bit| sum.plus(points[bit])));
            }
            widths.push(locked(&key.tables).subsets.as_ref().map_or(0, |tables| tables.width));
        }
        assert_eq!(widths, [1, 2, 4, 8, 8]);
        assert!(key.commit(&[1], &[Scalar::ONE], 1).is_err());
        assert!(SlackKey::new(points, Affine::IDENTITY).is_err());
        assert!(SlackKey::new(Vec::new(), Affine::IDENTITY).is_err());
    }

    #[test]
    fn an_empty_row_without_blinding_is_the_identity() {
        let points = random_points(25, 65);
        let key = SlackKey::new(points[..64].to_vec(), points[64]).expect("whole values");
        assert!(key.commit(&[0], &[Scalar::ZERO], 1).expect("fitting")[0].is_identity());
        assert!(key.commit(&[], &[], 4).expect("fitting").is_empty());
        let opposite = SlackKey::new(points[..64].to_vec(), points[0].signed(true)).expect("whole values");
        assert!(opposite.commit(&[1], &[Scalar::ONE], 1).expect("fitting")[0].is_identity());
    }

    #[test]
    fn tables_stay_within_their_memory() {
        for columns in [1, 50, 500, 4000, 100_000] {
            let width = WindowTable::widest(WORD_BITS, POSITION_TABLE_BYTES / columns);
            let table = (windows(WORD_BITS, width) << (width - 1)) * size_of::<Affine>();
            assert!(width == 1 || table * columns <= POSITION_TABLE_BYTES);
        }
    }
}
