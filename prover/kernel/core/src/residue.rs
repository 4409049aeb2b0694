//! Integers modulo a number `m = 2^256 - c` with small `c`: what the base field and the scalars have in common.
//!
//! A residue is stored as any integer below `2^256` that is congruent to it, so that a carry out of the top limb is
//! folded back as `c` and nothing is compared with `m` until a residue is written or tested. Two stored forms of one
//! residue differ by `m`, which only residues below `c` have.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Add, AddAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::limbs::{self, Limbs, Wide};

/// Bytes of an encoded residue.
pub const RESIDUE_BYTES: usize = 32;

/// A modulus `m`, its complement, and how a product is brought below `2^256`.
pub trait Modulus: Copy {
    /// `m`, the low limb first.
    const MODULUS: [u64; 4];
    /// `c = 2^256 - m`.
    const COMPLEMENT: [u64; 4];

    /// Returns an integer below `2^256` that is congruent to `wide`.
    fn reduce(wide: &[u64; 8]) -> [u64; 4];
}

/// A residue modulo `M`.
#[derive(Clone, Copy)]
pub struct Residue<M>(Limbs, PhantomData<M>);

impl<M: Modulus> Residue<M> {
    /// The residue 0.
    pub const ZERO: Self = Self::from_limbs([0; 4]);
    /// The residue 1.
    pub const ONE: Self = Self::from_limbs([1, 0, 0, 0]);

    /// Returns the residue of an integer.
    #[must_use]
    pub const fn from_limbs(limbs: Limbs) -> Self {
        Self(limbs, PhantomData)
    }

    /// Returns the residue of a big-endian integer, or `None` where it is not below the modulus.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; RESIDUE_BYTES]) -> Option<Self> {
        let mut limbs = [0; 4];
        for (limb, chunk) in limbs.iter_mut().rev().zip(bytes.as_chunks::<8>().0) {
            *limb = u64::from_be_bytes(*chunk);
        }
        let (_, below) = limbs::sub(&limbs, &M::MODULUS);
        below.then_some(Self::from_limbs(limbs))
    }

    /// Returns the encoding, a big-endian integer below the modulus.
    #[must_use]
    pub fn to_bytes(self) -> [u8; RESIDUE_BYTES] {
        let mut bytes = [0; RESIDUE_BYTES];
        for (chunk, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.canonical().iter().rev()) {
            *chunk = limb.to_be_bytes();
        }
        bytes
    }

    /// Returns the integer below the modulus.
    #[must_use]
    pub fn canonical(self) -> Limbs {
        let (reduced, above) = limbs::add(&self.0, &M::COMPLEMENT);
        limbs::select(&self.0, &reduced, above)
    }

    /// Returns whether this is the residue 0.
    #[inline]
    #[must_use]
    pub fn is_zero(&self) -> bool {
        // By limbs: a comparison of arrays goes through vector registers, which waits for the limbs to be stored.
        let [a, b, c, d] = self.0;
        let [p, q, r, s] = M::MODULUS;
        a | b | c | d == 0 || (a ^ p) | (b ^ q) | (c ^ r) | (d ^ s) == 0
    }

    /// Returns the integer that is stored, which may be the residue plus the modulus.
    #[inline(always)]
    pub(crate) const fn limbs(&self) -> &Limbs {
        &self.0
    }

    /// Returns the exact product of the stored integers.
    #[inline(always)]
    pub(crate) fn wide_product(&self, other: &Self) -> Wide {
        limbs::mul(&self.0, &other.0)
    }

    /// Returns the square.
    #[inline(always)]
    #[must_use]
    pub fn square(self) -> Self {
        Self::from_limbs(M::reduce(&limbs::square(&self.0)))
    }

    /// Returns the first residue if `choice` is false, else the second; without a branch.
    #[inline(always)]
    pub(crate) fn select(first: Self, second: Self, choice: bool) -> Self {
        Self::from_limbs(limbs::select(&first.0, &second.0, choice))
    }

    /// Returns twice the residue.
    #[inline(always)]
    #[must_use]
    pub fn double(self) -> Self {
        self + self
    }
}

impl<M: Modulus> Add for Residue<M> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let (sum, carry) = limbs::add(&self.0, &other.0);
        let (sum, carry) = limbs::add(&sum, &limbs::masked(&M::COMPLEMENT, carry));
        // Once more where both summands were stored within c of 2^256.
        Self::from_limbs(if carry { limbs::add(&sum, &M::COMPLEMENT).0 } else { sum })
    }
}

impl<M: Modulus> Sub for Residue<M> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        let (difference, borrow) = limbs::sub(&self.0, &other.0);
        let (difference, borrow) = limbs::sub(&difference, &limbs::masked(&M::COMPLEMENT, borrow));
        Self::from_limbs(if borrow { limbs::sub(&difference, &M::COMPLEMENT).0 } else { difference })
    }
}

impl<M: Modulus> Mul for Residue<M> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self::from_limbs(M::reduce(&self.wide_product(&other)))
    }
}

impl<M: Modulus> Neg for Residue<M> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self::ZERO - self
    }
}

impl<M: Modulus> AddAssign for Residue<M> {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl<M: Modulus> SubAssign for Residue<M> {
    #[inline(always)]
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl<M: Modulus> MulAssign for Residue<M> {
    #[inline(always)]
    fn mul_assign(&mut self, other: Self) {
        *self = *self * other;
    }
}

impl<M: Modulus> PartialEq for Residue<M> {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl<M: Modulus> Eq for Residue<M> {}

/// Shows that there is a residue, and not which: most of them are secret.
impl<M: Modulus> fmt::Debug for Residue<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Residue(redacted)")
    }
}
