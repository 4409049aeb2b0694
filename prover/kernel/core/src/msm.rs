//! Multi-scalar multiplication `sum_i k_i P_i`: Pippenger's buckets, with the endomorphism and signed digits.
//!
//! Each window of digits sorts the points into buckets by magnitude; bucket `d` counts `d` times. The bucket sums, and
//! then the sums of buckets that make up the bits of the weights `d`, are batches of affine additions.

use core::ops::Range;

use crate::batch::{Addition, Batch};
use crate::error::{Refused, expect_length};
use crate::glv::{HALF_BITS, endomorphism, split};
use crate::parallel::{map_ranges, map_rows};
use crate::point::{Affine, COMPRESSED_BYTES, Jacobian};
use crate::scalar::Scalar;
use crate::tables::{signed_digits, windows};

/// Points that are summed together: enough for one inversion to cost little, few enough to stay in the cache.
const BATCH_POINTS: usize = 3072;

/// Widest windows: digits fit 16 bits.
const MAX_WIDTH: usize = 15;

/// Terms that are multiplied together: beyond these, windows gain less than caches lose, and memory grows.
const TOGETHER: usize = 1 << 15;

/// Returns `sum_i scalars_i points_i`.
///
/// # Errors
/// There are not as many scalars as points.
pub fn msm(scalars: &[Scalar], points: &[Affine], threads: usize) -> Result<Affine, Refused> {
    expect_length("scalars", scalars.len(), points.len())?;
    in_parts(points.len(), threads, |range, threads| Ok(multiply(&scalars[range.clone()], &points[range], threads)))
}

/// Returns `sum_i scalars_i P_i`, where `P_i` is the point with encoding `i`.
///
/// # Errors
/// There are not as many scalars as encodings, or one is no point's: the first of these is named.
pub fn msm_encoded(
    scalars: &[Scalar],
    encodings: &[[u8; COMPRESSED_BYTES]],
    threads: usize,
) -> Result<Affine, Refused> {
    expect_length("scalars", scalars.len(), encodings.len())?;
    in_parts(encodings.len(), threads, |part, threads| {
        let decoded = map_ranges(part.len(), threads, |range| {
            let numbered = range.map(|at| part.start + at);
            let decode = |index: usize| {
                Affine::from_compressed(&encodings[index]).map_err(|fault| Refused::Encoding { index, fault })
            };
            numbered.map(decode).collect::<Result<Vec<_>, _>>()
        });
        let points = decoded.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        Ok(multiply(&scalars[part], &points, threads))
    })
}

/// Returns the sum of what `work` makes of parts of `0..count` with a number of threads, or the first refusal.
///
/// Few terms are one part with all threads, many are cut into parts with one thread each.
fn in_parts(
    count: usize,
    threads: usize,
    work: impl Fn(Range<usize>, usize) -> Result<Affine, Refused> + Sync,
) -> Result<Affine, Refused> {
    if count <= TOGETHER {
        return work(0..count, threads);
    }
    let sums = map_ranges(count, threads, |range| {
        let parts = range.len().div_ceil(TOGETHER);
        let bound = |part: usize| range.start + range.len() * part / parts;
        (0..parts).try_fold(Affine::IDENTITY, |sum, part| Ok(sum.plus(work(bound(part)..bound(part + 1), 1)?)))
    });
    sums.into_iter().try_fold(Affine::IDENTITY, |sum, part| Ok(sum.plus(part?)))
}

/// Returns `sum_i scalars_i points_i` of as many scalars as points.
fn multiply(scalars: &[Scalar], points: &[Affine], threads: usize) -> Affine {
    let mut terms = Terms::default();
    for (&scalar, &point) in scalars.iter().zip(points) {
        terms.push(scalar, point);
    }
    if terms.points.is_empty() {
        return Affine::IDENTITY;
    }
    let bits = terms.bits();
    // A window costs an addition per point, and two per bucket.
    let cost = |width: usize| windows(bits, width) * (terms.points.len() + (1 << width));
    let width = (1..=MAX_WIDTH).min_by_key(|&width| cost(width)).unwrap_or(1);
    let count = windows(bits, width);
    let digits = terms.digits(width, count);
    let parts = map_rows(count, threads, |range| {
        let together = (BATCH_POINTS / terms.points.len()).max(1);
        let mut buckets = Buckets { width, batch: Batch::default() };
        let groups = range.clone().step_by(together).map(|start| start..range.end.min(start + together));
        groups.map(|group| buckets.sums(&terms.points, &digits, group)).collect::<Vec<_>>().concat()
    });
    weigh(&parts, width)
}

/// Points with short integers to multiply them by.
#[derive(Default)]
struct Terms {
    points: Vec<Affine>,
    magnitudes: Vec<[u64; 2]>,
}

impl Terms {
    /// Appends `scalar point` as at most two terms.
    fn push(&mut self, scalar: Scalar, point: Affine) {
        if point.is_identity() {
            return;
        }
        for (half, point) in split(scalar).into_iter().zip([point, endomorphism(point)]) {
            if half.magnitude != [0, 0] {
                self.points.push(point.signed(half.negative));
                self.magnitudes.push(half.magnitude);
            }
        }
    }

    /// Returns the bits of the largest magnitude.
    fn bits(&self) -> usize {
        let all = self.magnitudes.iter().fold([0, 0], |all, magnitude| [all[0] | magnitude[0], all[1] | magnitude[1]]);
        let zeros = if all[1] == 0 { 64 + all[0].leading_zeros() } else { all[1].leading_zeros() };
        HALF_BITS - zeros as usize
    }

    /// Returns the signed digits of all terms, window after window.
    fn digits(&self, width: usize, count: usize) -> Vec<i16> {
        let terms = self.points.len();
        let mut digits = vec![0; terms * count];
        for (term, magnitude) in self.magnitudes.iter().enumerate() {
            signed_digits(magnitude, width, count, |window, digit| {
                #[allow(clippy::cast_possible_truncation)] // at most 15 bits and a sign
                let digit = digit as i16;
                digits[window * terms + term] = digit;
            });
        }
        digits
    }
}

/// Bucket sums of some windows.
struct Buckets {
    width: usize,
    batch: Batch,
}

impl Buckets {
    /// Returns for each of these windows the parts of `sum_d d (bucket d)`: at `2^b` those of bit `b` of `d - 1`, at 0
    /// the sum of all buckets.
    fn sums(&mut self, points: &[Affine], digits: &[i16], group: Range<usize>) -> Vec<Affine> {
        let half = 1 << (self.width - 1);
        let buckets = half * group.len();
        let rows = digits[group.start * points.len()..group.end * points.len()].chunks_exact(points.len());
        let bucket = |window: usize, digit: i16| window * half + usize::from(digit.unsigned_abs()) - 1;
        let used = rows.enumerate().flat_map(|(window, row)| {
            let terms = row.iter().zip(points).filter(|&(&digit, _)| digit != 0);
            terms.map(move |(&digit, point)| (bucket(window, digit), point, digit < 0))
        });
        // Sorting by counting: where buckets start, then where they end.
        let mut ends = vec![0; buckets + 1];
        for (bucket, ..) in used.clone() {
            ends[bucket + 1] += 1;
        }
        for bucket in 0..buckets {
            ends[bucket + 1] += ends[bucket];
        }
        let mut sorted = vec![Affine::IDENTITY; ends[buckets]];
        let mut starts = ends.clone();
        for (bucket, point, negative) in used {
            sorted[starts[bucket]] = point.signed(negative);
            starts[bucket] += 1;
        }
        let mut sums = vec![Affine::IDENTITY; buckets];
        let mut first = 0;
        while first < buckets {
            let mut last = first + 1;
            while last < buckets && ends[last + 1] - ends[first] <= BATCH_POINTS {
                last += 1;
            }
            let mut ranges: Vec<Range<usize>> = (first..last).map(|bucket| ends[bucket]..ends[bucket + 1]).collect();
            self.batch.sum_ranges(&mut sorted, &mut ranges);
            for (sum, range) in sums[first..last].iter_mut().zip(ranges) {
                *sum = if range.is_empty() { Affine::IDENTITY } else { sorted[range.start] };
            }
            first = last;
        }
        self.by_bits(&mut sums);
        sums
    }

    /// Turns bucket sums into parts by the bits of their position: sums over positions `2^b .. 2^(b+1)` of what was
    /// folded onto them, which are the positions whose bit `b` is set and, at 0, all of them.
    fn by_bits(&mut self, sums: &mut [Affine]) {
        let half = 1 << (self.width - 1);
        for bit in (0..self.width - 1).rev() {
            let length = 1 << bit;
            let additions = (0..sums.len() / half).flat_map(|window| {
                let start = window * half;
                (start..start + length).map(move |at| Addition { left: at, right: at + length, target: at })
            });
            self.batch.add(sums, additions);
        }
        let parts = (0..sums.len() / half).flat_map(|window| {
            (0..self.width - 1).map(move |bit| window * half + (1 << bit)..window * half + (2 << bit))
        });
        let mut parts: Vec<Range<usize>> = parts.collect();
        self.batch.sum_ranges(sums, &mut parts);
    }
}

/// Returns the sum over all windows of `2^(w k)` times the window's parts, each with its weight.
fn weigh(parts: &[Affine], width: usize) -> Affine {
    let mut total = Jacobian::IDENTITY;
    for window in parts.chunks_exact(1 << (width - 1)).rev() {
        total = total.double();
        for bit in (0..width - 1).rev() {
            total = total.double().add(&window[1 << bit]);
        }
        total = total.add(&window[0]);
    }
    total.to_affine()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;
    use crate::testing::{compressed, edges, multiply, random_points, random_residues};

    fn naive(scalars: &[Scalar], points: &[Affine]) -> Affine {
        let products = scalars.iter().zip(points).map(|(&scalar, &point)| multiply(point, scalar));
        products.fold(Affine::IDENTITY, Affine::plus)
    }

    #[test]
    fn sums_of_all_sizes_are_right() {
        for (count, threads) in [(1, 1), (2, 1), (3, 2), (10, 1), (100, 3), (700, 2)] {
            let (scalars, points) = (random_residues(31, count), random_points(32, count));
            assert!(msm(&scalars, &points, threads).expect("of one length") == naive(&scalars, &points));
        }
    }

    #[test]
    fn special_scalars_and_points_are_right() {
        let mut scalars: Vec<Scalar> = edges();
        scalars.extend([-Scalar::ONE, -Scalar::ONE, Scalar::from_limbs([9, 0, 0, 0])]);
        let mut points = random_points(33, scalars.len());
        points[1] = Affine::IDENTITY;
        points[4] = points[3];
        points[6] = points[5].signed(true);
        assert!(msm(&scalars, &points, 1).expect("of one length") == naive(&scalars, &points));
        let same = vec![points[0]; 50];
        let weights: Vec<Scalar> = random_residues(34, 50);
        assert!(msm(&weights, &same, 1).expect("of one length") == naive(&weights, &same));
        let opposite = [points[0], points[0].signed(true)];
        assert!(msm(&[weights[0]; 2], &opposite, 1).expect("of one length").is_identity());
    }

    #[test]
    fn short_scalars_are_right() {
        for bits in [1, 2, 13, 64] {
            let mask = u64::MAX >> (64 - bits);
            let scalars: Vec<Scalar> = random_residues::<crate::scalar::GroupOrder>(35, 20)
                .into_iter()
                .map(|scalar| Scalar::from_limbs([scalar.canonical()[0] & mask, 0, 0, 0]))
                .collect();
            let points = random_points(36, 20);
            assert!(msm(&scalars, &points, 1).expect("of one length") == naive(&scalars, &points));
        }
    }

    #[test]
    fn many_points_are_summed_in_parts() {
        let few = random_points(38, 100);
        let weights: Vec<Scalar> = random_residues(39, 100);
        let (points, scalars) = (few.repeat(400), weights.repeat(400));
        let expected = multiply(naive(&weights, &few), Scalar::from_limbs([400, 0, 0, 0]));
        let mut encodings: Vec<_> = points.iter().map(compressed).collect();
        for threads in [1, 3] {
            assert!(msm(&scalars, &points, threads) == Ok(expected));
            assert!(msm_encoded(&scalars, &encodings, threads) == Ok(expected));
        }
        encodings[39_999][0] = 9;
        encodings[30_001] = [2; COMPRESSED_BYTES];
        encodings[30_001][1..].fill(0);
        for threads in [1, 3] {
            let refused = Refused::Encoding { index: 30_001, fault: Fault::OffCurve };
            assert!(msm_encoded(&scalars, &encodings, threads) == Err(refused));
        }
        encodings[30_001] = encodings[30_000];
        let refused = msm_encoded(&scalars, &encodings, 2).err().expect("a prefix is wrong");
        assert_eq!(refused.to_string(), "point 39999: point with prefix 9: must be 2 or 3");
    }

    #[test]
    fn encoded_points_are_those_of_their_coordinates() {
        for (count, threads) in [(0, 1), (1, 1), (3, 2), (40, 3)] {
            let (scalars, points) = (random_residues(16, count), random_points(17, count));
            let mut encodings: Vec<_> = points.iter().map(compressed).collect();
            assert!(msm_encoded(&scalars, &encodings, threads) == msm(&scalars, &points, threads));
            encodings.push([2; COMPRESSED_BYTES]);
            assert!(msm_encoded(&scalars, &encodings, threads).is_err());
        }
        let refused = Refused::Encoding { index: 1, fault: Fault::Coordinate };
        let mut encodings = [compressed(&random_points(18, 1)[0]), [0xFF; COMPRESSED_BYTES]];
        encodings[1][0] = 3;
        assert!(msm_encoded(&[Scalar::ONE; 2], &encodings, 2) == Err(refused));
    }

    #[test]
    fn nothing_sums_to_the_identity() {
        assert!(msm(&[], &[], 1).expect("of one length").is_identity());
        assert!(msm(&[Scalar::ZERO], &random_points(37, 1), 1).expect("of one length").is_identity());
        assert!(msm(&[Scalar::ONE], &[], 1).is_err());
    }
}
