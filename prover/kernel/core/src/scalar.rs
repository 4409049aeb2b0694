//! The scalars, modulo the order `r` of the group, and sums of products that are reduced once at the end.
//!
//! `r = 2^256 - c` with a `c` of 129 bits. Folding the high half of a product back as `c` times it takes fewer
//! multiplications than Montgomery's form (14 against 20), and bytes need no conversion.

use crate::limbs::{self, Wide};
use crate::residue::{Modulus, Residue};

/// The modulus `r`.
#[derive(Clone, Copy)]
pub struct GroupOrder;

/// A scalar.
pub type Scalar = Residue<GroupOrder>;

const C0: u64 = 0x402D_A173_2FC9_BEBF;
const C1: u64 = 0x4551_2319_50B7_5FC4;

impl Modulus for GroupOrder {
    const MODULUS: [u64; 4] = [0xBFD2_5E8C_D036_4141, 0xBAAE_DCE6_AF48_A03B, 0xFFFF_FFFF_FFFF_FFFE, u64::MAX];
    const COMPLEMENT: [u64; 4] = [C0, C1, 1, 0];

    #[inline(always)]
    fn reduce(wide: &[u64; 8]) -> [u64; 4] {
        let &[r0, r1, r2, r3, r4, r5, r6, r7] = wide;
        // low + c high, below 2^386: seven limbs, the top one 0 or 1.
        let by_c0 = limbs::mul_row(C0, &[r4, r5, r6, r7]);
        let by_c1 = limbs::mul_row(C1, &[r4, r5, r6, r7]);
        let (t0, k) = r0.carrying_add(by_c0[0], false);
        let (t1, k) = r1.carrying_add(by_c0[1], k);
        let (t2, k) = r2.carrying_add(by_c0[2], k);
        let (t3, k) = r3.carrying_add(by_c0[3], k);
        let t4 = by_c0[4].wrapping_add(u64::from(k));
        let (t1, k) = t1.carrying_add(by_c1[0], false);
        let (t2, k) = t2.carrying_add(by_c1[1], k);
        let (t3, k) = t3.carrying_add(by_c1[2], k);
        let (t4, k) = t4.carrying_add(by_c1[3], k);
        let t5 = by_c1[4].wrapping_add(u64::from(k));
        let (t2, k) = t2.carrying_add(r4, false);
        let (t3, k) = t3.carrying_add(r5, k);
        let (t4, k) = t4.carrying_add(r6, k);
        let (t5, t6) = t5.carrying_add(r7, k);
        // The same with the limbs t4, t5 and the bit t6 above 2^256, below 2^259: a fifth limb of at most 3 bits.
        let (low40, high40) = limbs::mul_word(t4, C0);
        let (low50, high50) = limbs::mul_word(t5, C0);
        let (low41, high41) = limbs::mul_word(t4, C1);
        let (low51, high51) = limbs::mul_word(t5, C1);
        let [c0, c1, ..] = limbs::masked(&Self::COMPLEMENT, t6);
        let (t0, k) = t0.carrying_add(low40, false);
        let (t1, k) = t1.carrying_add(high40, k);
        let (t2, k) = t2.carrying_add(high50, k);
        let (t3, k) = t3.carrying_add(high51, k);
        let above = u64::from(k);
        let (t1, k) = t1.carrying_add(low50, false);
        let (t2, k) = t2.carrying_add(high41, k);
        let (t3, k) = t3.carrying_add(c1, k);
        let above = above.wrapping_add(u64::from(k));
        let (t1, k) = t1.carrying_add(low41, false);
        let (t2, k) = t2.carrying_add(low51, k);
        let (t3, k) = t3.carrying_add(t5, k);
        let above = above.wrapping_add(u64::from(k)).wrapping_add(u64::from(t6));
        let (t2, k) = t2.carrying_add(c0, false);
        let (t3, k) = t3.carrying_add(0, k);
        let above = above.wrapping_add(u64::from(k));
        let (t2, k) = t2.carrying_add(t4, false);
        let (t3, k) = t3.carrying_add(0, k);
        let above = above.wrapping_add(u64::from(k));
        // And with that fifth limb; a carry out of this leaves next to nothing below it.
        let (low0, high0) = limbs::mul_word(above, C0);
        let (low1, high1) = limbs::mul_word(above, C1);
        let (middle, k) = high0.carrying_add(low1, false);
        let top = high1.wrapping_add(above).wrapping_add(u64::from(k));
        let (sum, carry) = limbs::add(&[t0, t1, t2, t3], &[low0, middle, top, 0]);
        limbs::add(&sum, &limbs::masked(&Self::COMPLEMENT, carry)).0
    }
}

impl Scalar {
    /// Returns the residue of an integer of eight limbs.
    #[inline(always)]
    pub(crate) fn from_wide(wide: &Wide) -> Self {
        Self::from_limbs(GroupOrder::reduce(wide))
    }

    /// Returns the bits of the multilinear `eq(point, .)` over the hypercube, the first variable in the lowest bit.
    #[must_use]
    pub fn eq_table(point: &[Self]) -> Vec<Self> {
        let mut table = Vec::with_capacity(1 << point.len());
        table.push(Self::ONE);
        for &coordinate in point {
            for position in 0..table.len() {
                let high = table[position] * coordinate;
                table[position] -= high;
                table.push(high);
            }
        }
        table
    }
}

/// A sum of up to `2^64` products of scalars, not reduced.
#[derive(Clone, Copy, Default)]
pub(crate) struct Products {
    limbs: Wide,
    top: u64,
}

impl Products {
    /// Adds `a b`.
    #[inline(always)]
    pub(crate) fn add(&mut self, a: &Scalar, b: &Scalar) {
        let product = a.wide_product(b);
        let mut k = false;
        for (limb, added) in self.limbs.iter_mut().zip(product) {
            (*limb, k) = limb.carrying_add(added, k);
        }
        self.top = self.top.wrapping_add(u64::from(k));
    }

    /// Returns the sum.
    #[inline]
    pub(crate) fn reduce(&self) -> Scalar {
        let [r0, r1, r2, r3, r4, r5, r6, r7] = self.limbs;
        // top 2^512 is congruent to top c 2^256.
        let (low0, high0) = limbs::mul_word(self.top, C0);
        let (low1, high1) = limbs::mul_word(self.top, C1);
        let (middle, k) = high0.carrying_add(low1, false);
        let (upper, k) = high1.carrying_add(self.top, k);
        let (high, carry) = limbs::add(&[r4, r5, r6, r7], &[low0, middle, upper, u64::from(k)]);
        let (high, _) = limbs::add(&high, &limbs::masked(&GroupOrder::COMPLEMENT, carry));
        Scalar::from_limbs(GroupOrder::reduce(&[r0, r1, r2, r3, high[0], high[1], high[2], high[3]]))
    }
}

/// A sum of up to `2^63` scalars, not reduced.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sum {
    limbs: [u64; 4],
    top: u64,
}

impl Sum {
    /// Adds a scalar.
    #[inline(always)]
    pub(crate) fn add(&mut self, scalar: &Scalar) {
        let (sum, carry) = limbs::add(&self.limbs, scalar.limbs());
        self.limbs = sum;
        self.top = self.top.wrapping_add(u64::from(carry));
    }

    /// Returns the sum.
    #[inline]
    pub(crate) fn reduce(&self) -> Scalar {
        let [r0, r1, r2, r3] = self.limbs;
        Scalar::from_limbs(GroupOrder::reduce(&[r0, r1, r2, r3, self.top, 0, 0, 0]))
    }
}

/// A sum of up to `2^62` products of a scalar and a signed 64-bit integer, not reduced.
#[derive(Clone, Copy, Default)]
pub(crate) struct SignedProducts {
    positive: Sum320,
    negative: Sum320,
}

/// A sum of integers below `2^320`.
#[derive(Clone, Copy, Default)]
struct Sum320 {
    limbs: [u64; 5],
    top: u64,
}

impl Sum320 {
    #[inline(always)]
    fn add(&mut self, row: &[u64; 5]) {
        let mut k = false;
        for (limb, added) in self.limbs.iter_mut().zip(row) {
            (*limb, k) = limb.carrying_add(*added, k);
        }
        self.top = self.top.wrapping_add(u64::from(k));
    }

    fn reduce(&self) -> Scalar {
        let [r0, r1, r2, r3, r4] = self.limbs;
        Scalar::from_limbs(GroupOrder::reduce(&[r0, r1, r2, r3, r4, self.top, 0, 0]))
    }
}

impl SignedProducts {
    /// Adds `scalar integer`.
    #[inline(always)]
    pub(crate) fn add(&mut self, scalar: &Scalar, integer: i64) {
        let row = limbs::mul_row(integer.unsigned_abs(), scalar.limbs());
        if integer < 0 { self.negative.add(&row) } else { self.positive.add(&row) }
    }

    /// Returns the sum.
    pub(crate) fn reduce(&self) -> Scalar {
        self.positive.reduce() - self.negative.reduce()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bytes, edges, random_residues};

    fn scalar(text: &str) -> Scalar {
        Scalar::from_bytes(&bytes(text)).expect("below r")
    }

    #[test]
    fn products_are_those_of_known_integers() {
        // Made with Python's integers.
        let a = scalar("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
        let b = scalar("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140");
        let c = scalar("483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8");
        assert_eq!(a * c, scalar("805714a252d0c0b58910907e85b5b801fff610a36bdf46847a4bf5d9ae2d10ed"));
        assert_eq!(c.square(), scalar("308deb5bb5abd3d2316d2404dcc41ed6471af7794639da50d972e4448d6b5a58"));
        assert_eq!(a * b, -a);
        assert_eq!(b * b, Scalar::ONE);
        assert!(
            Scalar::from_bytes(&bytes("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")).is_none()
        );
    }

    #[test]
    fn ring_laws_hold_for_every_stored_form() {
        let mut values = edges::<GroupOrder>();
        values.extend(random_residues::<GroupOrder>(2, 8));
        for &a in &values {
            assert_eq!(a.square(), a * a);
            assert_eq!(a + (-a), Scalar::ZERO);
            for &b in &values {
                assert_eq!(a * b, b * a);
                assert_eq!(a + b - b, a);
                for &c in &values {
                    assert_eq!((a + b) * c, a * c + b * c);
                    assert_eq!((a * b) * c, a * (b * c));
                }
            }
        }
    }

    #[test]
    fn wide_integers_are_reduced_whatever_their_limbs() {
        // 2^(64 k) by repeated products of 2^64, against a limb set in the wide integer.
        let word = Scalar::from_limbs([0, 1, 0, 0]);
        let mut power = Scalar::ONE;
        for position in 0..8 {
            for limb in [1, 2, u64::MAX, 1 << 63] {
                let mut wide = [0; 8];
                wide[position] = limb;
                let expected = power * Scalar::from_limbs([limb, 0, 0, 0]);
                assert_eq!(Scalar::from_limbs(GroupOrder::reduce(&wide)), expected);
            }
            power *= word;
        }
        let all = Scalar::from_limbs(GroupOrder::reduce(&[u64::MAX; 8]));
        assert_eq!(all, power - Scalar::ONE);
    }

    #[test]
    fn unreduced_sums_equal_reduced_ones() {
        let mut values = edges::<GroupOrder>();
        values.extend(random_residues::<GroupOrder>(3, 40));
        let (mut products, mut sum, mut signed) = (Products::default(), Sum::default(), SignedProducts::default());
        let (mut of_products, mut of_sum, mut of_signed) = (Scalar::ZERO, Scalar::ZERO, Scalar::ZERO);
        let integers = [i64::MIN, i64::MAX, -1, 0, 1, 1 << 40, -(1 << 62)];
        for _ in 0..50 {
            for (&a, (&b, &n)) in values.iter().zip(values.iter().rev().zip(integers.iter().cycle())) {
                products.add(&a, &b);
                of_products += a * b;
                sum.add(&a);
                of_sum += a;
                signed.add(&a, n);
                let magnitude = a * Scalar::from_limbs([n.unsigned_abs(), 0, 0, 0]);
                of_signed += if n < 0 { -magnitude } else { magnitude };
            }
        }
        assert_eq!(products.reduce(), of_products);
        assert_eq!(sum.reduce(), of_sum);
        assert_eq!(signed.reduce(), of_signed);
        let full = Products { limbs: [u64::MAX; 8], top: u64::MAX };
        let limit =
            Scalar::from_limbs(GroupOrder::reduce(&[0, 0, 0, 0, 0, 0, 0, 1])) * Scalar::from_limbs([0, 0, 1, 0]);
        assert_eq!(full.reduce(), limit - Scalar::ONE);
    }

    #[test]
    fn eq_table_is_the_product_of_its_variables() {
        let point = random_residues::<GroupOrder>(4, 3);
        let table = Scalar::eq_table(&point);
        for (position, &entry) in table.iter().enumerate() {
            let expected = point.iter().enumerate().fold(Scalar::ONE, |product, (variable, &coordinate)| {
                product * if position >> variable & 1 == 1 { coordinate } else { Scalar::ONE - coordinate }
            });
            assert_eq!(entry, expected);
        }
        assert!(Scalar::eq_table(&[]) == [Scalar::ONE]);
    }
}
