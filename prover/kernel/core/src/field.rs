//! The base field of secp256k1, modulo `p = 2^256 - 2^32 - 977`, in which coordinates of points lie.

use crate::limbs;
use crate::residue::{Modulus, Residue};

/// The modulus `p`.
#[derive(Clone, Copy)]
pub struct BasePrime;

/// An element of the base field.
pub type Fp = Residue<BasePrime>;

const COMPLEMENT: u64 = 0x1_0000_03D1;

impl Modulus for BasePrime {
    const MODULUS: [u64; 4] = [0xFFFF_FFFE_FFFF_FC2F, u64::MAX, u64::MAX, u64::MAX];
    const COMPLEMENT: [u64; 4] = [COMPLEMENT, 0, 0, 0];

    #[inline(always)]
    fn reduce(wide: &[u64; 8]) -> [u64; 4] {
        let &[r0, r1, r2, r3, r4, r5, r6, r7] = wide;
        // The high half times c, then the few bits above 2^256 times c, then a last carry; what is below it is small.
        let high = limbs::mul_row(COMPLEMENT, &[r4, r5, r6, r7]);
        let (t0, k) = r0.carrying_add(high[0], false);
        let (t1, k) = r1.carrying_add(high[1], k);
        let (t2, k) = r2.carrying_add(high[2], k);
        let (t3, k) = r3.carrying_add(high[3], k);
        let (low, high) = limbs::mul_word(high[4].wrapping_add(u64::from(k)), COMPLEMENT);
        let (t0, k) = t0.carrying_add(low, false);
        let (t1, k) = t1.carrying_add(high, k);
        let (t2, k) = t2.carrying_add(0, k);
        let (t3, k) = t3.carrying_add(0, k);
        let (t0, k) = t0.carrying_add(COMPLEMENT & u64::from(k).wrapping_neg(), false);
        [t0, t1.wrapping_add(u64::from(k)), t2, t3]
    }
}

impl Fp {
    /// Returns the inverse, or 0 for 0: the power `p - 2`, in 255 squarings and 15 multiplications.
    #[must_use]
    pub fn invert(self) -> Self {
        // The bits of p - 2 are 223 ones, a zero, 22 ones, four zeros, 101101.
        let [x2, x22, x223] = self.chain();
        let power = squared(x223, 23) * x22;
        let power = squared(power, 5) * self;
        let power = squared(power, 3) * x2;
        squared(power, 2) * self
    }

    /// Returns a square root, or `None` where there is none: the power `(p + 1) / 4`, as `p = 3 mod 4`.
    #[must_use]
    pub fn square_root(self) -> Option<Self> {
        // The bits of (p + 1) / 4 are 223 ones, a zero, 22 ones, four zeros, 1100.
        let [x2, x22, x223] = self.chain();
        let power = squared(x223, 23) * x22;
        let root = squared(squared(power, 6) * x2, 2);
        (root.square() == self).then_some(root)
    }

    /// Returns the powers `2^k - 1` for `k` = 2, 22 and 223.
    fn chain(self) -> [Self; 3] {
        let x1 = self;
        let x2 = squared(x1, 1) * x1;
        let x3 = squared(x2, 1) * x1;
        let x6 = squared(x3, 3) * x3;
        let x9 = squared(x6, 3) * x3;
        let x11 = squared(x9, 2) * x2;
        let x22 = squared(x11, 11) * x11;
        let x44 = squared(x22, 22) * x22;
        let x88 = squared(x44, 44) * x44;
        let x176 = squared(x88, 88) * x88;
        let x220 = squared(x176, 44) * x44;
        [x2, x22, squared(x220, 3) * x3]
    }
}

/// Returns `value` squared so many times.
fn squared(value: Fp, times: u32) -> Fp {
    (0..times).fold(value, |power, _| power.square())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bytes, edges, random_residues};

    fn fp(text: &str) -> Fp {
        Fp::from_bytes(&bytes(text)).expect("below p")
    }

    #[test]
    fn bytes_are_big_endian_and_below_the_modulus() {
        let one = Fp::ONE.to_bytes();
        assert_eq!((one[31], one[0]), (1, 0));
        let modulus = bytes("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f");
        assert!(Fp::from_bytes(&modulus).is_none());
        assert!(Fp::from_bytes(&[0xFF; 32]).is_none());
        assert_eq!(Fp::from_limbs(BasePrime::MODULUS).to_bytes(), [0; 32]);
        assert!(Fp::from_limbs(BasePrime::MODULUS).is_zero());
    }

    #[test]
    fn products_are_those_of_known_integers() {
        // Made with Python's integers.
        let a = fp("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
        let b = fp("483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8");
        assert_eq!(a * b, fp("fd3dc529c6eb60fb9d166034cf3c1a5a72324aa9dfd3428a56d7e1ce0179fd9b"));
        assert_eq!(a.square(), fp("8550e7d238fcf3086ba9adcf0fb52a9de3652194d06cb5bb38d50229b854fc49"));
        assert_eq!(a.invert(), fp("237afdf1d2938d86870aaeb8ad77626a67b8e794abfb076be61d003687ca9ef6"));
    }

    #[test]
    fn field_laws_hold_for_every_stored_form() {
        let mut values = edges::<BasePrime>();
        values.extend(random_residues::<BasePrime>(1, 8));
        for &a in &values {
            assert_eq!(a.square(), a * a);
            assert_eq!(a - a, Fp::ZERO);
            assert_eq!(a + (-a), Fp::ZERO);
            assert_eq!(a.double(), a + a);
            assert_eq!(a.invert() * a, if a.is_zero() { Fp::ZERO } else { Fp::ONE });
            assert!(a.square().square_root().is_some_and(|root| root == a || root == -a));
            // -1 is no square.
            assert!(a.is_zero() || (-a.square()).square_root().is_none());
            for &b in &values {
                assert_eq!(a + b, b + a);
                assert_eq!(a * b, b * a);
                assert_eq!(a + b - b, a);
                for &c in &values {
                    assert_eq!((a + b) * c, a * c + b * c);
                    assert_eq!((a * b) * c, a * (b * c));
                }
            }
        }
    }
}
