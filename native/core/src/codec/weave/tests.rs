//! Every chunk comes back, by every machine; nothing that is not a chunk does harm.

use proptest::prelude::*;

use super::super::Machine;
use super::super::tests::{image, same_everywhere};
use super::*;

fn round_trip(raw: &[u8], columns: u16) -> bool {
    let Some(stored) = encode(raw, columns) else {
        return false;
    };
    for machine in Machine::here() {
        assert!(encode_on(machine, raw, columns).as_ref() == Some(&stored));
        let mut back = vec![0xa5; raw.len()];
        assert_eq!(decode_on(machine, &stored, &mut back), Ok(()));
        assert!(back == raw, "{columns} columns");
    }
    true
}

#[test]
fn images_of_all_widths() {
    for columns in [2, 3, 31, 64, 65, 127, 128, 129, 130, 200, 256, 333] {
        for rows in [2, 5, 32, 97] {
            for more in [0, 1, columns / 2] {
                let raw = image(rows * columns + more, columns, 2, 40);
                let coded = round_trip(&raw, columns as u16);
                assert!(coded || raw.len() < 4000, "{rows} x {columns}");
            }
        }
    }
}

#[test]
fn noise_of_all_sizes() {
    for noise in [0, 1, 100, 1000] {
        assert!(round_trip(&image(40_000, 200, 2, noise), 200), "{noise}");
    }
    // Most of this is escaped: it need not shrink.
    for noise in [2500, 5000, 20_000] {
        round_trip(&image(40_000, 200, 2, noise), 200);
    }
}

#[test]
fn rows_of_more_steps_than_share_a_window_of_words() {
    assert!(round_trip(&image(3 * 20_000, 20_000, 2, 900), 20_000));
}

#[test]
fn bytes_beyond_the_last_sample() {
    let mut raw = image(9000, 90, 2, 3);
    raw.push(7);
    assert!(round_trip(&raw, 90));
}

#[test]
fn what_is_no_image_is_not_coded() {
    assert_eq!(encode(&[0; 5000], 0), None);
    assert_eq!(encode(&[0; 5000], 1), None);
    assert_eq!(encode(&[0; 5000], 1251), None);
}

/// What was coded once is decoded for ever.
#[test]
fn a_golden_chunk() {
    let raw = image(133 * 70 + 11, 133, 2, 60);
    for machine in Machine::here() {
        let mut back = vec![0; raw.len()];
        let stored = include_bytes!("../golden/image.weave");
        assert_eq!(decode_on(machine, stored, &mut back), Ok(()));
        assert!(back == raw);
    }
}

#[test]
fn narrow_images_take_no_memory_for_steps() {
    let narrow = image(1 << 22, 2, 2, 3);
    assert!(encode(&narrow, 2).is_none());
    assert!(round_trip(&image(2 * 65_535, 2, 2, 3), 2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_of_any_width(
        raw in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3000),
            prop::collection::vec(0..3_u8, 0..9000),
        ],
        columns in 0..300_u16,
    ) {
        round_trip(&raw, columns);
    }

    #[test]
    fn damage_is_the_same_on_every_machine(
        at in any::<prop::sample::Index>(),
        to: u8,
        cut in any::<prop::sample::Index>(),
        length in 0..6000_usize,
    ) {
        let mut stored = encode(&image(3000, 90, 2, 300), 90).unwrap();
        let at = at.index(stored.len());
        stored[at] = to;
        stored.truncate(cut.index(stored.len()) + stored.len() / 2);
        same_everywhere(decode_on, &stored, length);
    }
}
