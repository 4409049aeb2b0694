//! Points of secp256k1, `y^2 = x^3 + 7`: affine for storage and batches, Jacobian for chains of doublings.

use crate::error::Fault;
use crate::field::Fp;
use crate::residue::RESIDUE_BYTES;

/// Bytes of an encoded point: x and y, big-endian. The identity is 64 zero bytes.
pub const POINT_BYTES: usize = 2 * RESIDUE_BYTES;

/// Bytes of a compressed point, in SEC1's form. The identity has none.
pub const COMPRESSED_BYTES: usize = 1 + RESIDUE_BYTES;

/// The curve's constant.
const SEVEN: Fp = Fp::from_limbs([7, 0, 0, 0]);

/// A point by its coordinates. No point has `x = 0`, since 7 is no square: that is the identity.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))] // one cache line, for look-ups in tables
pub struct Affine {
    /// The first coordinate.
    pub x: Fp,
    /// The second coordinate.
    pub y: Fp,
}

impl Affine {
    /// The neutral element.
    pub const IDENTITY: Self = Self { x: Fp::ZERO, y: Fp::ZERO };

    /// Returns the point with this encoding, or `None` where a coordinate is not below p or the point not on the curve.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; POINT_BYTES]) -> Option<Self> {
        if bytes == &[0; POINT_BYTES] {
            return Some(Self::IDENTITY);
        }
        let (x, y) = bytes.split_at(RESIDUE_BYTES);
        let point = Self { x: Fp::from_bytes(x.try_into().ok()?)?, y: Fp::from_bytes(y.try_into().ok()?)? };
        (point.y.square() == point.x.square() * point.x + SEVEN).then_some(point)
    }

    /// Returns the point with this compressed encoding: the parity of y plus 2, then x.
    ///
    /// # Errors
    /// The first byte is neither 2 nor 3, x is not below p, or there is no such point.
    pub fn from_compressed(bytes: &[u8; COMPRESSED_BYTES]) -> Result<Self, Fault> {
        let [prefix @ (2 | 3), x @ ..] = bytes else { return Err(Fault::Prefix(bytes[0])) };
        let x = Fp::from_bytes(x).ok_or(Fault::Coordinate)?;
        let y = (x.square() * x + SEVEN).square_root().ok_or(Fault::OffCurve)?;
        // No point has y = 0, since the order is odd: both parities exist.
        Ok(Self { x, y }.signed(y.canonical()[0] & 1 != u64::from(prefix & 1)))
    }

    /// Returns the encoding.
    #[must_use]
    pub fn to_bytes(self) -> [u8; POINT_BYTES] {
        let mut bytes = [0; POINT_BYTES];
        bytes[..RESIDUE_BYTES].copy_from_slice(&self.x.to_bytes());
        bytes[RESIDUE_BYTES..].copy_from_slice(&self.y.to_bytes());
        bytes
    }

    /// Returns whether this is the neutral element.
    #[inline(always)]
    #[must_use]
    pub fn is_identity(&self) -> bool {
        let [a, b, c, d] = *self.x.limbs();
        a | b | c | d == 0
    }

    /// Returns the negative if `negative`, else the point.
    #[inline(always)]
    #[must_use]
    pub fn signed(self, negative: bool) -> Self {
        Self { x: self.x, y: Fp::select(self.y, -self.y, negative) }
    }

    /// Returns the sum; slow, with an inversion of its own.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match Slope::between(&self, &other) {
            Slope::Fraction { numerator, denominator } => third_point(&self, &other, numerator * denominator.invert()),
            Slope::Sum(sum) => sum,
        }
    }
}

/// How to add two points: the slope of the line through them, or, where there is none to compute, the sum.
pub(crate) enum Slope {
    Fraction { numerator: Fp, denominator: Fp },
    Sum(Affine),
}

impl Slope {
    /// Returns the slope of the chord, or of the tangent where both points are one.
    #[inline(always)]
    pub(crate) fn between(left: &Affine, right: &Affine) -> Self {
        let denominator = right.x - left.x;
        if denominator.is_zero() || left.is_identity() || right.is_identity() {
            return Self::special(left, right);
        }
        Self::Fraction { numerator: right.y - left.y, denominator }
    }

    #[cold]
    #[inline(never)]
    fn special(left: &Affine, right: &Affine) -> Self {
        if left.is_identity() {
            Self::Sum(*right)
        } else if right.is_identity() {
            Self::Sum(*left)
        } else if left.y == right.y {
            // No point has y = 0, since the order is odd.
            let square = left.x.square();
            Self::Fraction { numerator: square.double() + square, denominator: left.y.double() }
        } else {
            Self::Sum(Affine::IDENTITY)
        }
    }
}

/// Returns the sum of two points on a line of this slope.
#[inline(always)]
pub(crate) fn third_point(left: &Affine, right: &Affine, slope: Fp) -> Affine {
    let x = slope.square() - left.x - right.x;
    Affine { x, y: slope * (left.x - x) - left.y }
}

/// A point as `(X / Z^2, Y / Z^3)`, the identity with `Z = 0`.
#[derive(Clone, Copy)]
pub(crate) struct Jacobian {
    x: Fp,
    y: Fp,
    z: Fp,
}

impl Jacobian {
    pub(crate) const IDENTITY: Self = Self { x: Fp::ONE, y: Fp::ONE, z: Fp::ZERO };

    /// Returns twice the point.
    pub(crate) fn double(&self) -> Self {
        let y_squared = self.y.square();
        let shared = (self.x * y_squared).double().double();
        let x_squared = self.x.square();
        let slope = x_squared.double() + x_squared;
        let x = slope.square() - shared.double();
        let y = slope * (shared - x) - y_squared.square().double().double().double();
        Self { x, y, z: (self.y * self.z).double() }
    }

    /// Returns the sum with an affine point.
    pub(crate) fn add(&self, other: &Affine) -> Self {
        if other.is_identity() {
            return *self;
        }
        if self.z.is_zero() {
            return Self { x: other.x, y: other.y, z: Fp::ONE };
        }
        let z_squared = self.z.square();
        let width = other.x * z_squared - self.x;
        let height = other.y * z_squared * self.z - self.y;
        if width.is_zero() {
            return if height.is_zero() { self.double() } else { Self::IDENTITY };
        }
        let width_squared = width.square();
        let width_cubed = width_squared * width;
        let anchor = self.x * width_squared;
        let x = height.square() - width_cubed - anchor.double();
        let y = height * (anchor - x) - self.y * width_cubed;
        Self { x, y, z: self.z * width }
    }

    /// Returns the point by its coordinates.
    pub(crate) fn to_affine(self) -> Affine {
        // The inverse of 0 is 0, which gives the identity.
        let inverse = self.z.invert();
        let squared = inverse.square();
        let point = Affine { x: self.x * squared, y: self.y * squared * inverse };
        if self.z.is_zero() { Affine::IDENTITY } else { point }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residue::Modulus;
    use crate::scalar::{GroupOrder, Scalar};
    use crate::testing::{base_point, bytes, compressed, multiply, random_points};

    fn encoded(x: &str, y: &str) -> [u8; POINT_BYTES] {
        let mut encoding = [0; POINT_BYTES];
        encoding[..32].copy_from_slice(&bytes(x));
        encoding[32..].copy_from_slice(&bytes(y));
        encoding
    }

    #[test]
    fn multiples_of_the_base_point_are_the_known_ones() {
        // The standard's multiples 2 G and 3 G, and 112233445566778899 G.
        let double = encoded(
            "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
            "1ae168fea63dc339a3c58419466ceaeef7f632653266d0e1236431a950cfe52a",
        );
        let triple = encoded(
            "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
            "388f7b0f632de8140fe337e62a37f3566500a99934c2231b6cb9fd7584b8e672",
        );
        let large = encoded(
            "a90cc3d3f3e146daadfc74ca1372207cb4b725ae708cef713a98edd73d99ef29",
            "5a79d6b289610c68bc3b47f3d72f9788a26a06868b4d8e433e1e2ad76fb7dc76",
        );
        let base = base_point();
        assert!(base.plus(base).to_bytes() == double);
        assert!(base.plus(base).plus(base).to_bytes() == triple);
        assert!(multiply(base, Scalar::from_limbs([112_233_445_566_778_899, 0, 0, 0])).to_bytes() == large);
        assert!(multiply(base, Scalar::from_limbs(GroupOrder::MODULUS) - Scalar::ONE) == base.signed(true));
    }

    #[test]
    fn special_sums_are_right() {
        let [p, q]: [Affine; 2] = random_points(5, 2).try_into().ok().expect("two");
        assert!(p.plus(p) == multiply(p, Scalar::ONE.double()));
        assert!(p.plus(p.signed(true)) == Affine::IDENTITY);
        assert!(p.plus(Affine::IDENTITY) == p);
        assert!(Affine::IDENTITY.plus(p) == p);
        assert!(Affine::IDENTITY.plus(Affine::IDENTITY).is_identity());
        assert!(p.plus(q) == q.plus(p));
        assert!(p.plus(q).plus(q.signed(true)) == p);
        assert!(Affine::IDENTITY.signed(true) == Affine::IDENTITY);
    }

    #[test]
    fn jacobian_chains_agree_with_affine_sums() {
        let points = random_points(6, 3);
        let mut jacobian = Jacobian::IDENTITY;
        let mut affine = Affine::IDENTITY;
        assert!(jacobian.double().to_affine().is_identity());
        for point in [points[0], points[0], points[1], points[2].signed(true), Affine::IDENTITY] {
            jacobian = jacobian.add(&point);
            affine = affine.plus(point);
            assert!(jacobian.to_affine() == affine);
            jacobian = jacobian.double();
            affine = affine.plus(affine);
            assert!(jacobian.to_affine() == affine);
        }
        assert!(jacobian.add(&affine).to_affine() == affine.plus(affine));
        assert!(jacobian.add(&affine.signed(true)).to_affine().is_identity());
    }

    #[test]
    fn compressed_points_are_decoded_strictly() {
        for point in [&[base_point(), base_point().signed(true)][..], &random_points(15, 20)].concat() {
            let mut encoding = compressed(&point);
            assert!(Affine::from_compressed(&encoding) == Ok(point));
            for prefix in [0, 1, 4, 6, 255] {
                encoding[0] = prefix;
                assert!(Affine::from_compressed(&encoding) == Err(Fault::Prefix(prefix)));
            }
        }
        // 7 is no square, and 5^3 + 7 is none either.
        for x in [0, 5] {
            let absent = Affine { x: Fp::from_limbs([x, 0, 0, 0]), y: Fp::ZERO };
            assert!(Affine::from_compressed(&compressed(&absent)) == Err(Fault::OffCurve));
        }
        let mut modulus = [3; COMPRESSED_BYTES];
        modulus[1..].copy_from_slice(&bytes("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f"));
        assert!(Affine::from_compressed(&modulus) == Err(Fault::Coordinate));
    }

    #[test]
    fn encodings_are_checked() {
        let base = base_point().to_bytes();
        assert!(Affine::from_bytes(&base) == Some(base_point()));
        assert!(Affine::from_bytes(&[0; POINT_BYTES]) == Some(Affine::IDENTITY));
        let mut wrong = base;
        wrong[63] ^= 1;
        assert!(Affine::from_bytes(&wrong).is_none());
        let modulus = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f";
        assert!(Affine::from_bytes(&encoded(modulus, modulus)).is_none());
        let mut zero = [0; POINT_BYTES];
        zero[63] = 1;
        assert!(Affine::from_bytes(&zero).is_none());
    }
}
