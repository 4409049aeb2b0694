//! Tables of multiples of fixed points: signed windows for integers, subset sums for bits.

use std::sync::Arc;

use crate::batch::{Addition, Batch, Term};
use crate::limbs;
use crate::point::{Affine, Jacobian};

/// The widest windows: beyond this a table outgrows what it saves.
const MAX_WIDTH: usize = 14;

/// Returns how many windows of signed digits an integer of so many bits takes.
pub(crate) fn windows(bits: usize, width: usize) -> usize {
    (bits + 1).div_ceil(width)
}

/// Returns the cheapest width of windows for `count` multiples of one point by integers of so many bits, if the table
/// has to be made as well.
pub(crate) fn best_width(count: usize, bits: usize) -> usize {
    (1..=MAX_WIDTH).min_by_key(|&width| windows(bits, width) * (count + (1 << (width - 1)))).unwrap_or(1)
}

/// Calls `take` with the signed digits `d_k`, `-2^(w-1) < d_k <= 2^(w-1)`, low first: `integer = sum d_k 2^(w k)`.
pub(crate) fn signed_digits(integer: &[u64], width: usize, windows: usize, mut take: impl FnMut(usize, i32)) {
    let half = 1 << (width - 1);
    let mut carry = 0;
    for window in 0..windows {
        let digit = limbs::bits(integer, window * width, width).cast_signed() + carry;
        carry = i32::from(digit > half);
        take(window, digit - (carry << width));
    }
}

/// The multiples `d 2^(w k) P` of a point, `1 <= d <= 2^(w-1)`.
pub(crate) struct WindowTable {
    pub(crate) width: usize,
    pub(crate) windows: usize,
    multiples: Vec<Affine>,
}

impl WindowTable {
    /// Makes the table of one point.
    pub(crate) fn new(point: Affine, width: usize, windows: usize) -> Self {
        let half = 1 << (width - 1);
        let mut multiples = vec![Affine::IDENTITY; windows * half];
        let mut base = Jacobian::IDENTITY.add(&point);
        for row in multiples.chunks_exact_mut(half) {
            row[0] = base.to_affine();
            base = (0..width).fold(base, |power, _| power.double());
        }
        let mut batch = Batch::default();
        let mut length = 1;
        while length < half {
            // d + length from d and length, for d = 1 .. length; multiple d is at d - 1.
            let additions = (0..windows).flat_map(|window| {
                let start = window * half;
                (start..start + length).map(move |left| Addition {
                    left,
                    right: start + length - 1,
                    target: left + length,
                })
            });
            batch.add(&mut multiples, additions);
            length *= 2;
        }
        Self { width, windows, multiples }
    }

    /// Returns the largest width whose table for integers of so many bits takes at most `bytes`, or 1.
    pub(crate) fn widest(bits: usize, bytes: usize) -> usize {
        let size = |width: usize| (windows(bits, width) << (width - 1)) * size_of::<Affine>();
        (1..=MAX_WIDTH).rev().find(|&width| size(width) <= bytes).unwrap_or(1)
    }

    /// Returns `digit 2^(w k) P`, for `digit != 0`, as a term of a sum.
    #[inline(always)]
    pub(crate) fn multiple(&self, sum: usize, window: usize, digit: i32) -> Term<'_> {
        let magnitude = digit.unsigned_abs() as usize;
        let point = &self.multiples[(window << (self.width - 1)) + magnitude - 1];
        Term { sum, point, negative: digit < 0 }
    }
}

/// A fixed point whose table grows wider the more it is used: a wider one is made once it would have paid.
pub(crate) struct FixedPoint {
    point: Affine,
    multiplications: usize,
    table: Option<Arc<WindowTable>>,
}

impl FixedPoint {
    pub(crate) fn new(point: Affine) -> Self {
        Self { point, multiplications: 0, table: None }
    }

    /// Counts `count` more multiplications by integers of so many bits and returns a table for them.
    pub(crate) fn table(&mut self, count: usize, bits: usize, max_width: usize) -> Arc<WindowTable> {
        self.multiplications = self.multiplications.saturating_add(count);
        let width = best_width(self.multiplications, bits).min(max_width);
        if let Some(table) = &self.table
            && table.width >= width
            && table.windows >= windows(bits, table.width)
        {
            return Arc::clone(table);
        }
        let width = self.table.as_ref().map_or(width, |table| width.max(table.width));
        let table = Arc::new(WindowTable::new(self.point, width, windows(bits, width)));
        self.table = Some(Arc::clone(&table));
        table
    }
}

/// The sums over all subsets of `w` consecutive points, for every such group.
pub(crate) struct SubsetTables {
    pub(crate) width: usize,
    sums: Vec<Affine>,
}

impl SubsetTables {
    /// Tables that are made together, so that batches are long and points stay in the cache.
    const TOGETHER: usize = 16;

    /// Makes the tables of groups of `width` points; the number of points is a multiple of it.
    pub(crate) fn new(points: &[Affine], width: usize) -> Self {
        let size = 1 << width;
        let mut sums = vec![Affine::IDENTITY; points.len() / width * size];
        let mut batch = Batch::default();
        for (tables, groups) in sums.chunks_mut(Self::TOGETHER * size).zip(points.chunks(Self::TOGETHER * width)) {
            for bit in 0..width {
                let length = 1 << bit;
                for (table, group) in tables.chunks_exact_mut(size).zip(groups.chunks_exact(width)) {
                    table[length] = group[bit];
                }
                let additions = (0..tables.len() / size).flat_map(|table| {
                    let start = table * size;
                    (start + 1..start + length).map(move |left| Addition {
                        left,
                        right: start + length,
                        target: left + length,
                    })
                });
                batch.add(tables, additions);
            }
        }
        Self { width, sums }
    }

    /// Returns the memory that tables for so many points take.
    pub(crate) fn bytes(points: usize, width: usize) -> usize {
        ((points / width) << width) * size_of::<Affine>()
    }

    /// Returns the sums over subsets of group `group`; bit `b` of an index says whether its point `b` is in the subset.
    #[inline(always)]
    pub(crate) fn group(&self, group: usize) -> &[Affine] {
        &self.sums[group << self.width..(group + 1) << self.width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::Scalar;
    use crate::testing::{Numbers, multiply, random_points};

    #[test]
    fn digits_make_the_integer() {
        let mut numbers = Numbers::new(11);
        for width in 1..=MAX_WIDTH {
            for integer in [0, 1, u64::MAX, 1 << 63, numbers.next(), numbers.next() >> 7] {
                let mut sum = 0;
                signed_digits(&[integer], width, windows(64, width), |window, digit| {
                    let half = 1 << (width - 1);
                    assert!(-half < digit && digit <= half);
                    sum += i128::from(digit) << (window * width);
                });
                assert_eq!(sum, i128::from(integer));
            }
        }
    }

    #[test]
    fn window_tables_hold_multiples() {
        let point = random_points(12, 1)[0];
        let table = WindowTable::new(point, 4, 3);
        for window in 0..3 {
            for digit in [1_i32, 5, 8] {
                let scalar = Scalar::from_limbs([u64::from(digit.cast_unsigned()) << (4 * window), 0, 0, 0]);
                let [plus, minus] = [table.multiple(3, window, digit), table.multiple(3, window, -digit)];
                assert!(*plus.point == multiply(point, scalar) && *minus.point == *plus.point);
                assert!(!plus.negative && minus.negative && plus.sum == 3);
            }
        }
        assert!(WindowTable::new(Affine::IDENTITY, 2, 2).multiple(0, 1, 2).point.is_identity());
    }

    #[test]
    fn tables_widen_with_use_and_never_narrow() {
        let mut fixed = FixedPoint::new(random_points(13, 1)[0]);
        let narrow = fixed.table(1, 64, MAX_WIDTH).width;
        let wide = fixed.table(1000, 64, MAX_WIDTH).width;
        assert!(narrow < wide);
        assert_eq!(fixed.table(1, 8, MAX_WIDTH).width, wide);
        let longer = fixed.table(1, 256, 5);
        assert!(longer.width == wide && longer.windows == windows(256, wide));
        assert!(best_width(0, 1) == 1 && best_width(1 << 40, 256) == MAX_WIDTH);
    }

    #[test]
    fn subset_tables_hold_subset_sums() {
        let points = random_points(14, 8);
        for width in [1, 2, 4, 8] {
            let tables = SubsetTables::new(&points, width);
            for group in 0..8 / width {
                for subset in 0..1 << width {
                    let chosen = (0..width).filter(|bit| subset >> bit & 1 == 1);
                    let sum = chosen.fold(Affine::IDENTITY, |sum, bit| sum.plus(points[group * width + bit]));
                    assert!(tables.group(group)[subset] == sum);
                }
            }
        }
    }
}
