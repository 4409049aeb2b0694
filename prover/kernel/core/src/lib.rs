//! Arithmetic of the crossmargin prover.

#![forbid(unsafe_code)]

mod batch;
mod commit;
mod csr;
mod error;
mod field;
mod fold;
mod glv;
mod limbs;
mod msm;
mod parallel;
mod point;
mod records;
mod residue;
mod scalar;
mod sumcheck;
mod tables;
#[cfg(test)]
mod testing;

pub use batch::{Addition, Batch};
pub use commit::{PositionKey, SlackKey};
pub use csr::Csr;
pub use error::{Fault, Refused, room};
pub use field::Fp;
pub use fold::{fold_bits, fold_points, fold_sparse};
pub use msm::{msm, msm_encoded};
pub use point::{Affine, COMPRESSED_BYTES, POINT_BYTES};
pub use records::RecordSumcheck;
pub use residue::RESIDUE_BYTES;
pub use scalar::Scalar;
pub use sumcheck::BitSumcheck;
