//! Prints what field multiplications, additions of points and multi-scalar multiplications cost with each candidate.
//!
//! One thread, best of several runs. p256k1 builds libsecp256k1 with a C compiler and needs libclang (LIBCLANG_PATH).

use std::hint::black_box;
use std::ops::{AddAssign, MulAssign};
use std::time::Instant;

/// Points of a multi-scalar multiplication.
const POINTS: usize = 16_384;
/// Additions in a batch.
const BATCH: usize = 4096;
const TIMES: usize = 4096;

fn best<T>(runs: usize, mut work: impl FnMut() -> T) -> f64 {
    let run = |_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_secs_f64()
    };
    (0..runs).map(run).fold(f64::MAX, f64::min)
}

fn show(name: &str, what: &str, seconds: f64, operations: usize) {
    println!("{name:<12} {what:<44} {:10.1} ns", seconds / operations as f64 * 1e9);
}

/// Measures products in four independent chains.
fn products<F: Copy + MulAssign>(name: &str, what: &str, value: F) {
    let work = || {
        let mut lanes = [value; 4];
        (0..TIMES).for_each(|_| lanes.iter_mut().for_each(|lane| *lane *= value));
        lanes
    };
    show(name, what, best(100, work), 4 * TIMES);
}

/// Measures sums of a projective point and affine ones.
fn mixed_additions<P: Copy + AddAssign<A>, A: Copy>(name: &str, start: P, points: &[A]) {
    let work = || {
        let mut lanes = [start; 4];
        for &point in points {
            lanes.iter_mut().for_each(|lane| *lane += point);
        }
        lanes
    };
    show(name, "addition, projective and affine", best(20, work), 4 * points.len());
}

struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// Returns an integer that is below the order and the prime.
    fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.as_chunks_mut::<8>().0.iter_mut().for_each(|chunk| *chunk = self.next().to_be_bytes());
        bytes[0] &= 0x7F;
        bytes
    }
}

fn arkworks() {
    use ark_ec::{AffineRepr, CurveGroup, PrimeGroup, VariableBaseMSM};
    use ark_ff::{Field, PrimeField};
    use ark_secp256k1::{Affine, Fq, Fr, Projective};

    let name = "arkworks";
    let mut numbers = Numbers(1);
    products(name, "multiplication mod p", Fq::from_be_bytes_mod_order(&numbers.bytes()));
    products(name, "multiplication mod r", Fr::from_be_bytes_mod_order(&numbers.bytes()));
    let scalars: Vec<Fr> = (0..POINTS).map(|_| Fr::from_be_bytes_mod_order(&numbers.bytes())).collect();
    let multiples: Vec<Projective> = scalars.iter().map(|scalar| Projective::generator() * scalar).collect();
    let points = Projective::normalize_batch(&multiples);
    mixed_additions(name, Projective::generator(), &points[..BATCH]);
    // It has no batches of affine additions; these are made from its field and its inversions in batches.
    let (left, right) = points[..2 * BATCH].split_at(BATCH);
    let seconds = best(50, || {
        let mut inverses: Vec<Fq> = left.iter().zip(right).map(|(left, right)| right.x - left.x).collect();
        ark_ff::batch_inversion(&mut inverses);
        let pairs = left.iter().zip(right).zip(inverses);
        let sums = pairs.map(|((left, right), inverse)| {
            let slope = (right.y - left.y) * inverse;
            let x = slope.square() - left.x - right.x;
            Affine::new_unchecked(x, slope * (left.x - x) - left.y)
        });
        sums.collect::<Vec<_>>()
    });
    show(name, "affine addition in a batch of 4096, on its field", seconds, BATCH);
    let seconds = best(3, || Projective::msm(&points, &scalars).expect("of one length"));
    show(name, "multi-scalar multiplication of 16,384, a point", seconds, POINTS);
    assert!(points.iter().all(|point| !point.is_zero()));
}

fn rust_crypto() {
    use k256::elliptic_curve::BatchNormalize;
    use k256::elliptic_curve::hazmat::FieldArithmetic;
    use k256::elliptic_curve::ops::{LinearCombination, Reduce};
    use k256::{ProjectivePoint, Scalar, Secp256k1};

    let name = "k256";
    let mut numbers = Numbers(1);
    let mut integer = || <Scalar as Reduce<k256::FieldBytes>>::reduce(&numbers.bytes().into());
    let one = <Secp256k1 as FieldArithmetic>::FieldElement::ONE;
    products(name, "multiplication mod p", (one + one).invert().expect("not zero"));
    products(name, "multiplication mod r", integer());
    let scalars: Vec<Scalar> = (0..POINTS).map(|_| integer()).collect();
    let projective: Vec<ProjectivePoint> = scalars.iter().map(|scalar| ProjectivePoint::GENERATOR * scalar).collect();
    let affine = ProjectivePoint::batch_normalize(projective.as_slice());
    mixed_additions(name, ProjectivePoint::GENERATOR, &affine[..BATCH]);
    let pairs: Vec<(ProjectivePoint, Scalar)> = projective.into_iter().zip(scalars).collect();
    let seconds = best(3, || ProjectivePoint::lincomb_vartime(pairs.as_slice()));
    show(name, "multi-scalar multiplication of 16,384, a point", seconds, POINTS);
}

fn libsecp256k1() {
    use p256k1::field::Element;
    use p256k1::point::{G, Point};
    use p256k1::scalar::Scalar;

    let name = "p256k1";
    let mut numbers = Numbers(1);
    products(name, "multiplication mod p, through its wrapper", Element::from(numbers.bytes()));
    let scalars: Vec<Scalar> = (0..POINTS).map(|_| Scalar::from(numbers.bytes())).collect();
    let points: Vec<Point> = scalars.iter().map(|scalar| scalar * G).collect();
    // Its vectors are consumed, and made again outside the time.
    let seconds = (0..3).map(|_| {
        let (scalars, points) = (scalars.clone(), points.clone());
        let start = Instant::now();
        black_box(Point::multimult(scalars, points).expect("of one length"));
        start.elapsed().as_secs_f64()
    });
    let seconds = seconds.fold(f64::MAX, f64::min);
    show(name, "multi-scalar multiplication of 16,384, a point", seconds, POINTS);
}

fn ours() {
    use crossmargin_kernel_core::{Addition, Affine, Batch, Fp, Scalar, msm};

    let name = "ours";
    let mut numbers = Numbers(1);
    let mut limbs = || std::array::from_fn(|_| numbers.next());
    products(name, "multiplication mod p", Fp::from_limbs(limbs()));
    products(name, "multiplication mod r", Scalar::from_limbs(limbs()));
    let scalars: Vec<Scalar> = (0..POINTS).map(|_| Scalar::from_limbs(limbs())).collect();
    let base = k256_base();
    let mut points: Vec<Affine> = vec![base; POINTS];
    let mut length = 1;
    while length < POINTS {
        let additions = (0..length).map(|at| Addition { left: at, right: length - 1, target: at + length });
        Batch::default().add(&mut points, additions);
        length *= 2;
    }
    let mut work = points[..2 * BATCH].to_vec();
    let pairs = (0..BATCH).map(|at| Addition { left: at, right: at + BATCH, target: at });
    let mut batch = Batch::default();
    let seconds = best(50, || batch.add(&mut work, pairs.clone()));
    show(name, "affine addition in a batch of 4096", seconds, BATCH);
    let seconds = best(3, || msm(&scalars, &points, 1));
    show(name, "multi-scalar multiplication of 16,384, a point", seconds, POINTS);
}

/// Returns the standard base point.
fn k256_base() -> crossmargin_kernel_core::Affine {
    use k256::elliptic_curve::sec1::ToSec1Point;

    let encoded = k256::AffinePoint::GENERATOR.to_sec1_point(false);
    let bytes = encoded.as_bytes()[1..].try_into().expect("64 bytes");
    crossmargin_kernel_core::Affine::from_bytes(bytes).expect("on the curve")
}

fn main() {
    arkworks();
    rust_crypto();
    libsecp256k1();
    ours();
}
