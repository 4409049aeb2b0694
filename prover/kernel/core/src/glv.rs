//! The endomorphism `(x, y) -> (beta x, y)`, which multiplies by `lambda`: a scalar becomes two of half its length.
//!
//! With `(a1, b1)`, `(a2, b2)` a short basis of the lattice of `(a, b)` with `a + b lambda = 0 mod r`, and
//! `c1 = round(b2 k / r)`, `c2 = round(-b1 k / r)`: `k2 = -c1 b1 - c2 b2` and `k1 = k - lambda k2` are below `2^128`
//! in magnitude (Gallant, Lambert and Vanstone, CRYPTO 2001; the constants are those of every implementation).

use crate::field::Fp;
use crate::limbs::{self, Limbs};
use crate::point::Affine;
use crate::residue::Modulus;
use crate::scalar::{GroupOrder, Scalar};

/// Bits of the magnitude of a half.
pub(crate) const HALF_BITS: usize = 128;

const LAMBDA: Limbs = [0xDF02_967C_1B23_BD72, 0x122E_22EA_2081_6678, 0xA526_1C02_8812_645A, 0x5363_AD4C_C05C_30E0];
const BETA: Limbs = [0xC139_6C28_7195_01EE, 0x9CF0_4975_12F5_8995, 0x6E64_479E_AC34_34E9, 0x7AE9_6A2B_657C_0710];
const MINUS_B1: Limbs = [0x6F54_7FA9_0ABF_E4C3, 0xE443_7ED6_010E_8828, 0, 0];
const B2: Limbs = [0xE86C_90E4_9284_EB15, 0x3086_D221_A7D4_6BCD, 0, 0];

/// `round(2^384 b2 / r)`.
const FACTOR_1: Limbs = [0xE893_209A_45DB_B031, 0x3DAA_8A14_71E8_CA7F, 0xE86C_90E4_9284_EB15, 0x3086_D221_A7D4_6BCD];

/// `round(-2^384 b1 / r)`.
const FACTOR_2: Limbs = [0x1571_B4AE_8AC4_7F71, 0x2212_08AC_9DF5_06C6, 0x6F54_7FA9_0ABF_E4C4, 0xE443_7ED6_010E_8828];

/// An integer of at most 128 bits by magnitude and sign.
#[derive(Clone, Copy)]
pub(crate) struct Half {
    pub(crate) magnitude: [u64; 2],
    pub(crate) negative: bool,
}

/// Returns `k1` and `k2` with `k = k1 + lambda k2`.
pub(crate) fn split(scalar: Scalar) -> [Half; 2] {
    let integer = scalar.canonical();
    let c1 = Scalar::from_limbs(rounded_product(&integer, &FACTOR_1));
    let c2 = Scalar::from_limbs(rounded_product(&integer, &FACTOR_2));
    let k2 = c1 * Scalar::from_limbs(MINUS_B1) - c2 * Scalar::from_limbs(B2);
    let k1 = scalar - k2 * Scalar::from_limbs(LAMBDA);
    [half(k1), half(k2)]
}

/// Returns `lambda P`.
#[inline(always)]
pub(crate) fn endomorphism(point: Affine) -> Affine {
    Affine { x: point.x * Fp::from_limbs(BETA), y: point.y }
}

/// Returns `a b / 2^384`, rounded.
fn rounded_product(a: &Limbs, b: &Limbs) -> Limbs {
    let [.., below, low, high] = limbs::mul(a, b);
    let (low, carry) = low.carrying_add(below >> 63, false);
    [low, high.wrapping_add(u64::from(carry)), 0, 0]
}

/// Returns a scalar next to 0 by magnitude and sign.
fn half(scalar: Scalar) -> Half {
    let [a, b, c, d] = scalar.canonical();
    if c | d == 0 {
        return Half { magnitude: [a, b], negative: false };
    }
    let ([a, b, _, _], _) = limbs::sub(&GroupOrder::MODULUS, &[a, b, c, d]);
    Half { magnitude: [a, b], negative: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{base_point, edges, multiply, random_residues};

    #[test]
    fn the_endomorphism_multiplies_by_lambda() {
        let lambda = Scalar::from_limbs(LAMBDA);
        assert_eq!(lambda.square() + lambda + Scalar::ONE, Scalar::ZERO);
        assert!(endomorphism(base_point()) == multiply(base_point(), lambda));
        assert!(endomorphism(Affine::IDENTITY).is_identity());
    }

    #[test]
    fn halves_are_short_and_make_the_scalar() {
        let mut scalars: Vec<Scalar> = edges();
        let lambda = Scalar::from_limbs(LAMBDA);
        scalars.extend([lambda, -lambda, lambda.double(), -Scalar::ONE]);
        // Around r / 2, and multiples of both basis vectors, where rounding decides.
        let [a, b, c, d] = GroupOrder::MODULUS;
        scalars.push(Scalar::from_limbs([a >> 1 | b << 63, b >> 1 | c << 63, c >> 1 | d << 63, d >> 1]));
        scalars.extend((1..20).map(|times| Scalar::from_limbs(MINUS_B1) * Scalar::from_limbs([times, 0, 0, 0])));
        scalars.extend(random_residues(30, 2000));
        for scalar in scalars {
            let [k1, k2] = split(scalar).map(|half| {
                let magnitude = Scalar::from_limbs([half.magnitude[0], half.magnitude[1], 0, 0]);
                if half.negative { -magnitude } else { magnitude }
            });
            assert_eq!(k1 + lambda * k2, scalar);
        }
        assert_eq!(split(Scalar::from_limbs([5, 0, 0, 0])).map(|half| half.magnitude), [[5, 0], [0, 0]]);
    }
}
