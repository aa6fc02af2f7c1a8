//! What holds for any bytes.

use proptest::prelude::*;

use super::*;
use crate::json::holes_missed;

/// Pieces of data sets, so that random input gets past the first element.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let tags = [
        0x0008_0005,
        0x0008_1115,
        0x0009_1010,
        0x0010_0010,
        0x0028_0008,
        0x7FE0_0001,
        0x7FE0_0010,
        0xFFFE_E000,
        0xFFFE_E00D,
        0xFFFE_E0DD,
        0x0002_0010,
    ];
    let vrs = ["OB", "OW", "SQ", "UN", "PN", "UI", "US", "IS", "??"];
    let lengths = prop_oneof![
        Just(0u32),
        Just(u32::MAX),
        0..40u32,
        Just(5000),
        any::<u32>()
    ];
    let headed = (
        prop::sample::select(tags.to_vec()),
        prop::sample::select(vrs.to_vec()),
        lengths,
        any::<bool>(),
    );
    let headed = headed.prop_map(|(tag, vr, length, explicit)| {
        let mut out = tag_bytes(tag);
        if explicit && tag >> 16 != 0xFFFE {
            out.extend(vr.as_bytes());
            if Vr(vr.as_bytes().try_into().unwrap()).has_long_length() {
                out.extend([0, 0]);
                out.extend(length.to_le_bytes());
            } else {
                out.extend((length as u16).to_le_bytes());
            }
        } else {
            out.extend(length.to_le_bytes());
        }
        out
    });
    let whole = prop_oneof![
        Just(OPEN_ITEM.to_vec()),
        Just(CLOSE_ITEM.to_vec()),
        Just(CLOSE_SEQUENCE.to_vec()),
        Just(id("1")),
        Just(item(b"ab")),
        Just(element(0x7FE0_0010, "OW", &[1; 50])),
        Just(element(0x0042_0011, "OB", &[1; 4096])),
        Just(vec![0; 8]),
    ];
    prop_oneof![headed, whole, prop::collection::vec(any::<u8>(), 0..60)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn pieces_make_no_difference_and_nothing_is_lost(
        front in prop::sample::select(vec![Vec::new(), [&[0; 128][..], b"DICM"].concat()]),
        fragments in prop::collection::vec(fragment(), 0..25),
        syntax in prop::sample::select(vec![
            None, Some(IMPLICIT_LITTLE), Some(EXPLICIT_LITTLE), Some(EXPLICIT_BIG), Some(DEFLATED),
        ]),
        part10 in any::<bool>(),
        size in 1..200usize,
    ) {
        let bytes = [front, fragments.concat()].concat();
        let form = if part10 { Form::Part10 } else { Form::DataSet };
        let (whole, holes) = scan_in(form, syntax, &bytes, bytes.len(), Limits::default());
        check_whole(&whole, &holes, &bytes);
        let pieces = scan_in(form, syntax, &bytes, size, Limits::default());
        prop_assert_eq!(format!("{:?}", pieces), format!("{:?}", (whole, holes)));
    }

    #[test]
    fn metadata_names_every_hole(
        fragments in prop::collection::vec(fragment(), 0..25),
        syntax in prop::sample::select(vec![IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG]),
        part10 in any::<bool>(),
    ) {
        let form = if part10 { Form::Part10 } else { Form::DataSet };
        let limits = Limits { bulk_threshold: 16, ..Limits::default() };
        let bytes = fragments.concat();
        let (scan, _) = scan_in(form, Some(syntax), &bytes, bytes.len(), limits);
        let holes: Vec<_> = scan.holes.iter().map(|hole| (hole.offset as u64, hole.length)).collect();
        if !scan.deflated {
            let missed = holes_missed(&scan.header, scan.prefix, &scan.transfer_syntax, &holes);
            prop_assert_eq!(missed, 0, "{:?}", scan);
        }
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        for form in [Form::DataSet, Form::Part10] {
            let (scan, holes) = scan_in(form, None, &bytes, 64, Limits::default());
            check_whole(&scan, &holes, &bytes);
        }
    }

    #[test]
    fn inflate_never_goes_over_its_limit(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(inflated) = inflate(&bytes, 1000) {
            prop_assert!(inflated.len() <= 1000);
        }
    }
}
