//! Additions of affine points in batches: five multiplications, a squaring and a share of one inversion each.

use core::ops::Range;

use crate::field::Fp;
use crate::point::{Affine, Slope, third_point};

/// Where an addition takes its summands from a slice of points, and where it puts the sum.
#[derive(Clone, Copy)]
pub struct Addition {
    /// Position of the first summand.
    pub left: usize,
    /// Position of the second summand.
    pub right: usize,
    /// Position of the sum.
    pub target: usize,
}

/// Additions in batches, with memory that is used again and again.
///
/// About a thousand additions are a good batch: an inversion costs as much as 40 of them, and their points stay in a
/// cache of the second level.
#[derive(Default)]
pub struct Batch {
    additions: Vec<Addition>,
    products: Vec<Fp>,
}

impl Batch {
    /// Does many additions inside one slice, of any points, the identity too.
    ///
    /// Precondition: no addition overwrites a summand of a later one.
    pub fn add(&mut self, points: &mut [Affine], additions: impl Iterator<Item = Addition>) {
        self.additions.clear();
        self.additions.extend(additions);
        let additions = &self.additions;
        run(&mut self.products, points, additions.len(), |points, number| {
            let Addition { left, right, target } = additions[number];
            (points[left], points[right], target)
        });
    }

    /// Adds terms to sums.
    ///
    /// Precondition: no sum has two terms.
    pub(crate) fn accumulate(&mut self, sums: &mut [Affine], terms: &[Term<'_>]) {
        run(&mut self.products, sums, terms.len(), |sums, number| {
            let Term { sum, point, negative } = terms[number];
            (sums[sum], point.signed(negative), sum)
        });
    }

    /// Replaces each point by its double.
    pub fn double(&mut self, points: &mut [Affine]) {
        self.add(points, (0..points.len()).map(|at| Addition { left: at, right: at, target: at }));
    }

    /// Sums each range of points into its first one, and shortens the ranges to it; their other points are destroyed.
    ///
    /// All ranges are halved in step, so that the batches are long.
    pub fn sum_ranges(&mut self, points: &mut [Affine], ranges: &mut [Range<usize>]) {
        while ranges.iter().any(|range| range.len() > 1) {
            let pairs = ranges.iter().flat_map(|range| {
                let kept = range.len().div_ceil(2);
                (range.start..range.end - kept).map(move |at| Addition { left: at, right: at + kept, target: at })
            });
            self.add(points, pairs);
            for range in ranges.iter_mut() {
                range.end = range.start + range.len().div_ceil(2);
            }
        }
    }
}

/// A point that is to be added to a sum.
#[derive(Clone, Copy)]
pub(crate) struct Term<'a> {
    /// Number of the sum.
    pub(crate) sum: usize,
    /// The point,
    pub(crate) point: &'a Affine,
    /// and whether its negative is meant.
    pub(crate) negative: bool,
}

/// Does `count` additions; `pair` gives the two summands of one, and the position of its sum.
///
/// A function of its own for every kind of additions, since compilers do worse with it inside others.
#[inline(never)]
fn run(
    products: &mut Vec<Fp>,
    points: &mut [Affine],
    count: usize,
    pair: impl Fn(&[Affine], usize) -> (Affine, Affine, usize),
) {
    // From the last addition to the first: the product of the denominators of all later ones.
    products.clear();
    let mut product = Fp::ONE;
    for number in (0..count).rev() {
        products.push(product);
        let (left, right, _) = pair(points, number);
        if let Slope::Fraction { denominator, .. } = Slope::between(&left, &right) {
            product *= denominator;
        }
    }
    // From the first to the last: `inverse` is that of the product of all denominators not yet passed.
    let mut inverse = product.invert();
    for (number, &later) in products.iter().rev().enumerate() {
        let (left, right, target) = pair(points, number);
        points[target] = match Slope::between(&left, &right) {
            Slope::Fraction { numerator, denominator } => {
                let slope = numerator * (inverse * later);
                inverse *= denominator;
                third_point(&left, &right, slope)
            }
            Slope::Sum(sum) => sum,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random_points;

    fn sum(points: &[Affine]) -> Affine {
        points.iter().fold(Affine::IDENTITY, |sum, point| sum.plus(*point))
    }

    #[test]
    fn batches_with_special_pairs_are_right() {
        let fresh = random_points(7, 4);
        let (p, q) = (fresh[0], fresh[1]);
        let o = Affine::IDENTITY;
        let pairs = [(p, q), (p, p), (p, p.signed(true)), (o, p), (p, o), (o, o), (q, fresh[2]), (q, q), (o, q)];
        let mut points: Vec<Affine> = pairs.iter().flat_map(|&(left, right)| [left, right]).collect();
        let count = pairs.len();
        let additions = (0..count).map(|at| Addition { left: 2 * at, right: 2 * at + 1, target: 2 * at });
        Batch::default().add(&mut points, additions);
        for (at, &(left, right)) in pairs.iter().enumerate() {
            assert!(points[2 * at] == left.plus(right), "pair {at}");
        }
    }

    #[test]
    fn ranges_of_all_lengths_are_summed() {
        let points = random_points(8, 45);
        let mut ranges: Vec<Range<usize>> = vec![0..0, 0..1, 1..3, 3..6, 6..10, 10..23, 23..23, 23..45];
        let expected: Vec<Affine> = ranges.iter().map(|range| sum(&points[range.clone()])).collect();
        let mut work = points.clone();
        Batch::default().sum_ranges(&mut work, &mut ranges);
        for (range, expected) in ranges.iter().zip(&expected) {
            assert!(range.is_empty() || work[range.start] == *expected);
            assert!(range.len() <= 1);
        }
    }

    #[test]
    fn equal_and_opposite_points_are_summed() {
        let p = random_points(9, 1)[0];
        let mut points = [vec![p; 37], vec![p, p.signed(true), Affine::IDENTITY, p.signed(true), p]].concat();
        let expected = [sum(&points[..37]), sum(&points[37..])];
        let mut ranges = [0..37, 37..42];
        Batch::default().sum_ranges(&mut points, &mut ranges);
        assert!(points[0] == expected[0]);
        assert!(points[37] == expected[1]);
        Batch::default().double(&mut points[..1]);
        assert!(points[0] == expected[0].plus(expected[0]));
    }

    #[test]
    fn terms_are_added_in_any_order_and_sign() {
        let points = random_points(10, 3);
        let mut sums = vec![Affine::IDENTITY; 3];
        let mut batch = Batch::default();
        let term = |sum: usize, point: usize, negative: bool| Term { sum, point: &points[point], negative };
        batch.accumulate(&mut sums, &[term(2, 0, false), term(0, 1, true)]);
        batch.accumulate(&mut sums, &[term(0, 1, true), term(1, 2, false), term(2, 2, true)]);
        batch.accumulate(&mut sums, &[term(1, 2, true), term(2, 1, false)]);
        batch.accumulate(&mut sums, &[]);
        let minus = |point: Affine| point.signed(true);
        assert!(sums[0] == minus(points[1]).plus(minus(points[1])));
        assert!(sums[1].is_identity());
        assert!(sums[2] == points[0].plus(minus(points[2])).plus(points[1]));
    }

    #[test]
    fn an_empty_batch_does_nothing() {
        Batch::default().double(&mut []);
        Batch::default().sum_ranges(&mut [], &mut []);
    }
}
