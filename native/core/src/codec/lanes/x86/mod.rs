//! The machines of x86-64: AVX-512 and AVX2.

mod avx2;
mod avx512;

use super::super::order::Order;
use super::LANES;
use super::coder::{self, Draft};
use super::kernel::{self, Job};
use super::woven::{self, WovenJob};
use super::woven_coder::{self, WovenDraft};
pub(super) use avx2::Avx2;
pub(super) use avx512::Avx512;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi2,popcnt")]
pub(super) fn decode_avx512(lanes: Avx512, job: Job, order: &Order) -> bool {
    kernel::decode(lanes, job, order)
}

#[target_feature(enable = "avx2,popcnt")]
pub(super) fn decode_avx2(lanes: Avx2, job: Job, order: &Order) -> bool {
    kernel::decode(lanes, job, order)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi2,popcnt")]
pub(super) fn encode_avx512(lanes: Avx512, draft: &mut Draft) -> [u32; LANES] {
    coder::encode(lanes, draft)
}

#[target_feature(enable = "avx2,popcnt")]
pub(super) fn encode_avx2(lanes: Avx2, draft: &mut Draft) -> [u32; LANES] {
    coder::encode(lanes, draft)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi2,popcnt")]
pub(super) fn decode_woven_avx512(lanes: Avx512, job: WovenJob) -> bool {
    woven::decode(lanes, job)
}

#[target_feature(enable = "avx2,popcnt")]
pub(super) fn decode_woven_avx2(lanes: Avx2, job: WovenJob) -> bool {
    woven::decode(lanes, job)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi2,popcnt")]
pub(super) fn encode_woven_avx512(lanes: Avx512, draft: &mut WovenDraft) -> [u32; LANES] {
    woven_coder::encode(lanes, draft)
}

#[target_feature(enable = "avx2,popcnt")]
pub(super) fn encode_woven_avx2(lanes: Avx2, draft: &mut WovenDraft) -> [u32; LANES] {
    woven_coder::encode(lanes, draft)
}

/// Methods that do the same with each register: the name, what it is made of, the instruction.
macro_rules! lanewise {
    ($($name:ident($a:ident, $b:ident): $vector:ident = $instruction:ident;)*) => {
        $(
            #[inline(always)]
            fn $name(self, $a: $vector, $b: $vector) -> $vector {
                // SAFETY: see the top of the module.
                $vector::each(|part| unsafe { $instruction($a.0[part], $b.0[part]) })
            }
        )*
    };
}
use lanewise;
