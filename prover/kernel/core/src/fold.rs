//! Weighted sums of rows: of sparse integers and of bits, in F, and of points.

use crate::batch::{Addition, Batch, Term};
use crate::csr::Csr;
use crate::error::{Refused, expect_length, room};
use crate::glv::{HALF_BITS, endomorphism, split};
use crate::parallel::{map_ranges, map_rows};
use crate::point::Affine;
use crate::scalar::{Scalar, SignedProducts, Sum};
use crate::tables::{signed_digits, windows};

/// Columns beyond which memory would be asked for that no machine has.
const MAX_COLUMNS: usize = 1 << 20;

/// Bits of a value.
const VALUE_BITS: usize = 64;

/// Bytes of a value.
const VALUE_BYTES: usize = 8;

/// Width of signed windows for multiplying each point by one scalar: 15 additions of table, 52 of windows.
const WINDOW_WIDTH: usize = 5;

/// Points that are folded together: enough for one inversion to cost little, few enough for the sums to stay in the cache.
const BLOCK_POINTS: usize = 1024;

/// Returns `sum_i weights_i x_iv` for every column `v`.
///
/// # Errors
/// There are not as many weights as rows, an entry is beyond the last column, there are more than 2^20
/// columns, or memory for the sums of each thread runs out.
pub fn fold_sparse(rows: &Csr<'_>, columns: usize, weights: &[Scalar], threads: usize) -> Result<Vec<Scalar>, Refused> {
    expect_length("weights", weights.len(), rows.rows())?;
    rows.expect_columns(columns)?;
    if columns > MAX_COLUMNS {
        return Err(Refused::Invalid("columns: at most 2^20"));
    }
    let parts = map_ranges(rows.rows(), threads, |range| {
        let mut sums = room(columns)?;
        sums.resize(columns, SignedProducts::default());
        for row in range {
            for (column, value) in rows.entries(rows.positions(row..row + 1)) {
                sums[column].add(&weights[row], value);
            }
        }
        let mut reduced = room(columns)?;
        reduced.extend(sums.iter().map(SignedProducts::reduce));
        Ok(reduced)
    });
    let mut parts = parts.into_iter();
    let mut sums: Vec<Scalar> = parts.next().unwrap_or_else(|| Ok(Vec::new()))?;
    for part in parts {
        for (sum, other) in sums.iter_mut().zip(part?) {
            *sum += other;
        }
    }
    Ok(sums)
}

/// Returns `sum_h weights_h bit_hb` for every bit `b` of a row; a row is a number of values, the low bit of each first.
///
/// # Errors
/// The values do not fill as many rows as there are weights.
pub fn fold_bits(values: &[u64], weights: &[Scalar], threads: usize) -> Result<Vec<Scalar>, Refused> {
    if weights.is_empty() || !values.len().is_multiple_of(weights.len()) {
        return Err(Refused::Invalid("values that do not fill the rows"));
    }
    let width = values.len() / weights.len();
    Ok(map_rows(width, threads, |range| {
        let mut folded = Vec::with_capacity(range.len() * VALUE_BITS);
        for word in range {
            for histogram in byte_histograms(values.iter().skip(word).step_by(width), weights) {
                folded.extend(bit_sums(histogram));
            }
        }
        folded
    }))
}

/// Returns for each of the eight bytes of a value, the low one first, the sums of the weights by the byte's value.
pub(crate) fn byte_histograms<'a>(
    values: impl Iterator<Item = &'a u64>,
    weights: &[Scalar],
) -> [Vec<Scalar>; VALUE_BYTES] {
    let mut sums = vec![Sum::default(); VALUE_BYTES << 8];
    for (value, weight) in values.zip(weights) {
        for (byte, digit) in value.to_le_bytes().into_iter().enumerate() {
            sums[byte << 8 | usize::from(digit)].add(weight);
        }
    }
    core::array::from_fn(|byte| sums[byte << 8..(byte + 1) << 8].iter().map(Sum::reduce).collect())
}

/// Returns for each bit of a byte the sum of the histogram over the bytes in which it is set.
fn bit_sums(mut histogram: Vec<Scalar>) -> [Scalar; 8] {
    let mut sums = [Scalar::ZERO; 8];
    for sum in sums.iter_mut().rev() {
        let high = histogram.split_off(histogram.len() / 2);
        for (low, high) in histogram.iter_mut().zip(high) {
            *sum += high;
            *low += high;
        }
    }
    sums
}

/// Returns `sum_k weights_k P_ki` for every `i`; row `k` of points is `P_k0, P_k1, ..`.
///
/// # Errors
/// The points do not fill as many rows as there are weights.
pub fn fold_points(points: &[Affine], weights: &[Scalar], threads: usize) -> Result<Vec<Affine>, Refused> {
    if weights.is_empty() || !points.len().is_multiple_of(weights.len()) {
        return Err(Refused::Invalid("points that do not fill the rows"));
    }
    let columns = points.len() / weights.len();
    let count = windows(HALF_BITS, WINDOW_WIDTH);
    let digits: Vec<[Vec<i32>; 2]> = weights
        .iter()
        .map(|&weight| {
            split(weight).map(|half| {
                let mut digits = Vec::with_capacity(count);
                signed_digits(&half.magnitude, WINDOW_WIDTH, count, |_, digit| {
                    digits.push(if half.negative { -digit } else { digit });
                });
                digits
            })
        })
        .collect();
    Ok(map_rows(columns, threads, |range| {
        let blocks = range.clone().step_by(BLOCK_POINTS).map(|start| start..range.end.min(start + BLOCK_POINTS));
        let folded = blocks.map(|block| {
            let rows = points.chunks_exact(columns);
            let tables: Vec<Multiples> = rows.map(|row| Multiples::new(&row[block.clone()])).collect();
            let mut sums = vec![Affine::IDENTITY; block.len()];
            let mut batch = Batch::default();
            for window in (0..count).rev() {
                if window + 1 < count {
                    (0..WINDOW_WIDTH).for_each(|_| batch.double(&mut sums));
                }
                for (multiples, [digits, endomorphic]) in tables.iter().zip(&digits) {
                    batch.accumulate(&mut sums, &terms(multiples.row(digits[window]), digits[window] < 0));
                    let digit = endomorphic[window];
                    let moved: Vec<Affine> = multiples.row(digit).iter().map(|&point| endomorphism(point)).collect();
                    batch.accumulate(&mut sums, &terms(&moved, digit < 0));
                }
            }
            sums
        });
        folded.collect::<Vec<_>>().concat()
    }))
}

/// The multiples `P, 2 P, ..` of each point of a row, as far as windows need them.
struct Multiples {
    points: Vec<Affine>,
    count: usize,
}

impl Multiples {
    fn new(row: &[Affine]) -> Self {
        let count = row.len();
        let mut points = row.repeat(1 << (WINDOW_WIDTH - 1));
        let mut batch = Batch::default();
        for length in (0..WINDOW_WIDTH - 1).map(|bit| count << bit) {
            // Multiples length + d from d and length, where multiple d is row d - 1.
            let additions =
                (0..length).map(|left| Addition { left, right: length - count + left % count, target: length + left });
            batch.add(&mut points, additions);
        }
        Self { points, count }
    }

    /// Returns `|digit| P` for every point `P`; nothing for 0.
    fn row(&self, digit: i32) -> &[Affine] {
        let end = digit.unsigned_abs() as usize * self.count;
        &self.points[end.saturating_sub(self.count)..end]
    }
}

/// Returns a term for each of some sums, from the first on.
fn terms(points: &[Affine], negative: bool) -> Vec<Term<'_>> {
    points.iter().enumerate().map(|(sum, point)| Term { sum, point, negative }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Numbers, edges, multiply, random_points, random_residues};

    #[test]
    fn sparse_rows_are_folded() {
        let rows = Csr::new(&[0, 2, 2, 5], &[3, 0, 1, 1, 3], &[i64::MIN, 7, -1, 5, i64::MAX]).expect("well-formed");
        let weights: Vec<Scalar> = random_residues(40, 3);
        let integer = |value: u64| Scalar::from_limbs([value, 0, 0, 0]);
        let expected = [
            weights[0] * integer(7),
            weights[2] * integer(4),
            Scalar::ZERO,
            weights[2] * integer((1 << 63) - 1) - weights[0] * integer(1 << 63),
        ];
        for threads in [1, 2] {
            assert!(fold_sparse(&rows, 4, &weights, threads).expect("fitting") == expected);
        }
        assert!(fold_sparse(&rows, 3, &weights, 1).is_err());
        assert!(fold_sparse(&rows, usize::MAX, &weights, 1).is_err());
        assert!(fold_sparse(&rows, 4, &weights[1..], 1).is_err());
        let none = Csr::new(&[0], &[], &[]).expect("well-formed");
        assert!(fold_sparse(&none, 2, &[], 3).expect("fitting") == [Scalar::ZERO; 2]);
    }

    #[test]
    fn bits_are_folded() {
        let mut numbers = Numbers::new(41);
        let values: Vec<u64> = [0, u64::MAX, 1 << 63].into_iter().chain((0..15).map(|_| numbers.next())).collect();
        let mut weights = edges();
        weights.truncate(6);
        let folded = fold_bits(&values, &weights, 2).expect("fitting");
        assert_eq!(folded.len(), 3 * 64);
        for (bit, &sum) in folded.iter().enumerate() {
            let set = (0..6).filter(|row| values[3 * row + bit / 64] >> (bit % 64) & 1 == 1);
            assert_eq!(sum, set.fold(Scalar::ZERO, |sum, row| sum + weights[row]));
        }
        assert!(fold_bits(&values, &weights[..4], 1).is_err());
        assert!(fold_bits(&[], &[], 1).is_err());
    }

    #[test]
    fn points_are_folded() {
        for (rows, columns, threads) in [(1, 1, 1), (2, 3, 2), (5, 7, 1)] {
            let mut points = random_points(42, rows * columns);
            points[0] = Affine::IDENTITY;
            let mut weights: Vec<Scalar> = random_residues(43, rows);
            weights[rows - 1] = if rows == 2 { Scalar::ZERO } else { -Scalar::ONE };
            let folded = fold_points(&points, &weights, threads).expect("fitting");
            for (column, &sum) in folded.iter().enumerate() {
                let products = (0..rows).map(|row| multiply(points[row * columns + column], weights[row]));
                assert!(sum == products.fold(Affine::IDENTITY, Affine::plus));
            }
        }
        let p = random_points(44, 1)[0];
        assert!(fold_points(&[p, p.signed(true)], &[Scalar::ONE; 2], 1).expect("fitting")[0].is_identity());
        assert!(fold_points(&[p; 3], &[Scalar::ONE; 2], 1).is_err());
        assert!(fold_points(&[], &[], 1).is_err());
    }
}
