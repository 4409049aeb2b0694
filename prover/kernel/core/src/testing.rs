//! What the unit tests share: residues at the edges, and random ones that are the same in every run.

use crate::field::Fp;
use crate::point::{Affine, COMPRESSED_BYTES, POINT_BYTES};
use crate::residue::{Modulus, RESIDUE_BYTES, Residue};
use crate::scalar::Scalar;

/// Numbers that look random, by Steele, Lea and Flood's splitmix64.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}

/// Parses 32 bytes in hexadecimal.
pub(crate) fn bytes(text: &str) -> [u8; RESIDUE_BYTES] {
    core::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal"))
}

/// Returns residues in forms at the edges: small ones, multiples of limbs, and both stored forms of small ones.
pub(crate) fn edges<M: Modulus>() -> Vec<Residue<M>> {
    let mut values: Vec<Residue<M>> = [[0; 4], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1 << 63], [u64::MAX; 4]]
        .into_iter()
        .map(Residue::from_limbs)
        .collect();
    let [low, a, b, c] = M::MODULUS;
    values.extend([low - 1, low, low + 1].map(|limb| Residue::from_limbs([limb, a, b, c])));
    values
}

/// Returns `count` residues.
pub(crate) fn random_residues<M: Modulus>(seed: u64, count: usize) -> Vec<Residue<M>> {
    let mut numbers = Numbers::new(seed);
    (0..count).map(|_| Residue::from_limbs(core::array::from_fn(|_| numbers.next()))).collect()
}

/// Returns the compressed encoding of a point other than the identity.
pub(crate) fn compressed(point: &Affine) -> [u8; COMPRESSED_BYTES] {
    let coordinates = point.to_bytes();
    let mut encoding = [2 | coordinates[POINT_BYTES - 1] & 1; COMPRESSED_BYTES];
    encoding[1..].copy_from_slice(&coordinates[..RESIDUE_BYTES]);
    encoding
}

/// Returns the standard base point.
pub(crate) fn base_point() -> Affine {
    let x = Fp::from_bytes(&bytes("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"));
    let y = Fp::from_bytes(&bytes("483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"));
    Affine { x: x.expect("below p"), y: y.expect("below p") }
}

/// Returns `scalar point` by doubling and adding, one bit at a time.
pub(crate) fn multiply(point: Affine, scalar: Scalar) -> Affine {
    let limbs = scalar.canonical();
    (0..256).rev().fold(Affine::IDENTITY, |sum, bit| {
        let doubled = sum.plus(sum);
        if limbs[bit / 64] >> (bit % 64) & 1 == 1 { doubled.plus(point) } else { doubled }
    })
}

/// Returns `count` points that look random.
pub(crate) fn random_points(seed: u64, count: usize) -> Vec<Affine> {
    random_residues(seed, count).into_iter().map(|scalar| multiply(base_point(), scalar)).collect()
}
