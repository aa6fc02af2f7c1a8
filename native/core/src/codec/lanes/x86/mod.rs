//! The machines of x86-64: AVX-512 and AVX2.

mod avx2;
mod avx512;

use super::super::order::Order;
use super::kernel::{self, Job};
pub(super) use avx2::Avx2;
pub(super) use avx512::Avx512;

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn decode_avx512(lanes: Avx512, job: &mut Job, order: &Order) -> bool {
    kernel::decode(lanes, job, order)
}

#[target_feature(enable = "avx2")]
pub(super) fn decode_avx2(lanes: Avx2, job: &mut Job, order: &Order) -> bool {
    kernel::decode(lanes, job, order)
}
