//! Every chunk comes back, by every machine; nothing that is not a chunk does harm.

use proptest::prelude::*;

use super::*;

fn round_trip(raw: &[u8], geometry: Geometry, form: Form) -> bool {
    let Some(stored) = encode(raw, geometry, form) else {
        return false;
    };
    for machine in Machine::here() {
        assert!(encode_on(machine, raw, geometry, form).as_ref() == Some(&stored));
        let mut back = vec![0xa5; raw.len()];
        assert_eq!(decode_on(machine, &stored, &mut back), Ok(()));
        assert!(back == raw, "{geometry:?} {form:?}");
    }
    true
}

type Decode = fn(Machine, &[u8], &mut [u8]) -> Result<(), Invalid>;

/// Every machine says the same of bytes, and writes the same over whatever stood there before.
pub(super) fn same_everywhere(decode_on: Decode, stored: &[u8], length: usize) {
    let decoded = |machine, before| {
        let mut raw = vec![before; length];
        decode_on(machine, stored, &mut raw).map(|()| raw)
    };
    let first = Machine::here().next().map(|machine| decoded(machine, 0));
    for machine in Machine::here() {
        assert_eq!(Some(decoded(machine, 0xa5)), first);
    }
}

const FORMS: [Form; 2] = [Form::Fast, Form::Strong];

/// A plane with edges, slopes, noise: bytes from a linear congruence.
pub(super) fn image(samples: usize, columns: usize, bytes: usize, noise: u32) -> Vec<u8> {
    let mut state = 1_u32;
    (0..samples)
        .flat_map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (row, column) = (at / columns, at % columns);
            let edge = if (row / 20 + column / 30) % 2 == 0 {
                900
            } else {
                20
            };
            let value = edge + row as u32 + 2 * column as u32 + (state >> 16) % (noise + 1);
            value.to_le_bytes()[..bytes].to_vec()
        })
        .collect()
}

#[test]
fn images_of_all_widths() {
    for columns in [1, 2, 31, 64, 65, 79, 80, 81, 89, 100, 128, 333] {
        for rows in [2, 5, 31, 32, 33, 64, 97] {
            for extra in [0, 1, columns / 2] {
                for form in FORMS {
                    let geometry = Geometry {
                        columns: columns as u16,
                        sample_bytes: 2,
                        pixel_samples: 1,
                    };
                    let raw = image(rows * columns + extra, columns, 2, 40);
                    let coded = round_trip(&raw, geometry, form);
                    assert!(coded || raw.len() < 4000, "{rows} x {columns}");
                }
            }
        }
    }
}

#[test]
fn noise_of_all_sizes() {
    for noise in [0, 1, 100, 1000, 20_000] {
        for form in FORMS {
            let geometry = Geometry {
                columns: 200,
                sample_bytes: 2,
                pixel_samples: 1,
            };
            assert!(
                round_trip(&image(40_000, 200, 2, noise), geometry, form),
                "{noise}"
            );
        }
    }
}

#[test]
fn colours_and_tails() {
    for (sample_bytes, pixel_samples) in [(1, 1), (1, 3), (1, 4), (2, 3), (2, 2)] {
        for tail in [0, 1, 5] {
            for form in FORMS {
                let geometry = Geometry {
                    columns: 100,
                    sample_bytes,
                    pixel_samples,
                };
                let size = usize::from(sample_bytes);
                let mut raw = image(30_000, 100 * usize::from(pixel_samples), size, 3);
                raw.extend(&[7; 5][..tail]);
                assert!(round_trip(&raw, geometry, form), "{geometry:?}");
            }
        }
    }
}

#[test]
fn a_constant_plane_is_a_few_bytes() {
    let geometry = Geometry {
        columns: 512,
        sample_bytes: 2,
        pixel_samples: 1,
    };
    let stored = encode(&vec![3; 512 * 512 * 2], geometry, Form::Strong).unwrap();
    assert_eq!(stored.len(), 10);
    assert!(round_trip(&vec![3; 512 * 512 * 2], geometry, Form::Fast));
}

#[test]
fn what_is_no_image_is_not_coded() {
    for (columns, sample_bytes, pixel_samples) in [(0, 1, 1), (10, 0, 1), (10, 3, 1), (10, 1, 5)] {
        let geometry = Geometry {
            columns,
            sample_bytes,
            pixel_samples,
        };
        assert_eq!(encode(&[0; 5000], geometry, Form::Strong), None);
    }
}

fn geometries() -> impl Strategy<Value = Geometry> {
    (0..300_u16, 0..4_u8, 0..6_u8).prop_map(|(columns, sample_bytes, pixel_samples)| Geometry {
        columns,
        sample_bytes,
        pixel_samples,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_of_any_geometry(
        raw in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3000),
            prop::collection::vec(0..3_u8, 0..9000),
        ],
        geometry in geometries(),
        strong: bool,
    ) {
        round_trip(&raw, geometry, if strong { Form::Strong } else { Form::Fast });
    }

    #[test]
    fn damage_is_the_same_on_every_machine(
        at in any::<prop::sample::Index>(),
        to: u8,
        cut in any::<prop::sample::Index>(),
        length in 0..6000_usize,
    ) {
        let raw = image(3000, 90, 2, 300);
        let geometry = Geometry { columns: 90, sample_bytes: 2, pixel_samples: 1 };
        let mut stored = encode(&raw, geometry, Form::Strong).unwrap();
        let at = at.index(stored.len());
        stored[at] = to;
        stored.truncate(cut.index(stored.len()) + stored.len() / 2);
        same_everywhere(decode_on, &stored, length);
    }
}

/// What was coded once is decoded for ever.
#[test]
fn golden_chunks() {
    let golden: [(&[u8], usize, usize, usize); 3] = [
        (include_bytes!("golden/fast_16.lanes"), 2, 1, 40),
        (include_bytes!("golden/strong_16.lanes"), 2, 1, 900),
        (include_bytes!("golden/strong_rgb.lanes"), 1, 3, 3),
    ];
    for (stored, bytes, planes, noise) in golden {
        let raw = image(90 * 70 + 11, 90 * planes, bytes, noise as u32);
        for machine in Machine::here() {
            let mut back = vec![0; raw.len()];
            assert_eq!(decode_on(machine, stored, &mut back), Ok(()));
            assert!(back == raw);
        }
    }
}
