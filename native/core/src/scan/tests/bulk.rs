//! Bulk, frames, deflated data sets, limits: one test for each rule.

use super::*;

#[test]
fn pixel_data_is_a_hole_of_any_length() {
    let bytes = [
        id("1"),
        element(0x7FE0_0010, "OW", b"ab"),
        element(0xFFFC_FFFC, "OB", &[0; 8]),
    ];
    let scan = scan(&bytes.concat());
    assert_eq!(paths(&scan), [[0x7FE0_0010]]);
    assert_eq!((scan.holes[0].offset, scan.holes[0].vr), (9 + 12, Vr::OW));
}

#[test]
fn bulk_begins_at_the_threshold() {
    let value = |length| element(0x0042_0011, "OB", &vec![1; length]);
    assert_eq!(paths(&scan(&value(4095))), [] as [&[u32]; 0]);
    assert_eq!(paths(&scan(&value(4096))), [[0x0042_0011]]);
    assert_eq!(
        paths(&scan(&element(0x0042_0011, "UT", &[b'a'; 5000]))),
        [] as [&[u32]; 0]
    );
    assert_eq!(scan(&value(4096)).holes[0].chunk, 4096);
    assert_eq!(scan(&value(5 << 20)).holes[0].chunk, 4 << 20);
}

#[test]
fn bulk_in_items_has_a_path() {
    let waveform = element(0x5400_1010, "OW", &[3; 4096]);
    let items = [item(&id("1")), item(&waveform)].concat();
    let nested = [
        OPEN_ITEM,
        &undefined(0x5400_0100, "SQ"),
        OPEN_ITEM,
        &waveform,
        CLOSE_ITEM,
        CLOSE_SEQUENCE,
        CLOSE_ITEM,
        CLOSE_SEQUENCE,
    ]
    .concat();
    let bytes = [
        element(0x5400_0100, "SQ", &items),
        undefined(0x5600_0010, "SQ"),
        nested,
    ]
    .concat();
    let scan = scan(&[id("1"), bytes].concat());
    let expected: [&[u32]; 2] = [
        &[0x5400_0100, 1, 0x5400_1010],
        &[0x5600_0010, 0, 0x5400_0100, 0, 0x5400_1010],
    ];
    assert_eq!(paths(&scan), expected);
    assert_eq!(scan.problem, None);
}

#[test]
fn holes_are_limited_and_pixel_data_still_is_one() {
    let value = element(0x0009_1010, "OB", &[1; 4096]);
    let pixels = element(0x7FE0_0010, "OB", &[1; 10]);
    let scan = scan(&[value.repeat(300), pixels].concat());
    assert_eq!(scan.holes.len(), 253);
    assert_eq!(scan.holes[252].path, [0x7FE0_0010]);
}

#[test]
fn header_over_its_cap() {
    let limits = Limits {
        max_header: 100,
        ..Limits::default()
    };
    let bytes = element(0x0010_4000, "UT", &[b'a'; 200]);
    for size in [1, 7, 1000] {
        let (scan, holes) = scan_in(Form::DataSet, Some(EXPLICIT_LITTLE), &bytes, size, limits);
        assert!(scan.fatal && holes.is_empty() && scan.header.is_empty());
        assert!(problem(&scan).contains("over 100 bytes"));
    }
}

fn image(frames: &str, pixels: &[u8]) -> Vec<u8> {
    let short = |tag, value: u16| element(tag, "US", &value.to_le_bytes());
    [
        short(0x0028_0002, 1),
        element(0x0028_0008, "IS", frames.as_bytes()),
        short(0x0028_0010, 4),
        short(0x0028_0011, 3),
        short(0x0028_0100, 8),
        pixels.to_vec(),
    ]
    .concat()
}

#[test]
fn native_frames() {
    let scan = scan(&image("2 ", &element(0x7FE0_0010, "OB", &[1; 24])));
    assert_eq!(
        scan.frames,
        Some(FrameTable::Native {
            hole: 0,
            count: 2,
            bits: 96
        })
    );
    assert_eq!(scan.holes[0].chunk, 12 * 5462);
}

#[test]
fn a_video_is_one_stream_in_any_number_of_fragments() {
    let fragments = [&item(b"")[..], &item(b"abcd"), &item(b"ef"), CLOSE_SEQUENCE].concat();
    let bytes = [
        element(0x0028_0008, "IS", b"50"),
        undefined(0x7FE0_0010, "OB"),
        fragments,
    ]
    .concat();
    for (syntax, frames) in [
        ("1.2.840.10008.1.2.4.100.1", Some(vec![8, 30])),
        ("1.2.840.10008.1.2.4.102", Some(vec![8, 30])),
        ("1.2.840.10008.1.2.4.90", None),
    ] {
        let scan = scan_as(Form::DataSet, Some(syntax), &bytes);
        let frames = frames.map(|offsets| FrameTable::Encapsulated { hole: 0, offsets });
        assert_eq!(scan.frames, frames, "{syntax}");
    }
}

#[test]
fn encapsulated_frames() {
    let fragments = [
        item(b""),
        item(b"abcd"),
        item(b"ef"),
        CLOSE_SEQUENCE.to_vec(),
    ]
    .concat();
    let pixels = [
        undefined(0x7FE0_0010, "OB"),
        fragments.clone(),
        element(0xFFFC_FFFC, "OB", b""),
    ];
    let scan = scan(&image("2", &pixels.concat()));
    let offsets = vec![8, 20, 30];
    assert_eq!(
        scan.frames,
        Some(FrameTable::Encapsulated { hole: 0, offsets })
    );
    assert_eq!(scan.holes[0].length as usize, fragments.len());
    assert_eq!(
        (scan.holes[0].chunk, scan.holes[0].declared),
        (65_536, None)
    );
    assert_eq!(scan.problem, None);
}

#[test]
fn extended_offset_table_in_the_header_and_as_bulk() {
    for frames in [3, 1000u64] {
        let offsets: Vec<u8> = (0..frames)
            .flat_map(|frame| (frame * 20).to_le_bytes())
            .collect();
        let two = [item(b"ab"), item(b"")].concat();
        let pixels = [
            element(0x7FE0_0001, "OV", &offsets),
            undefined(0x7FE0_0010, "OB"),
            item(b""),
            two.repeat(frames as usize),
            CLOSE_SEQUENCE.to_vec(),
        ];
        let bytes = image(&frames.to_string(), &pixels.concat());
        // Two fragments of 10 and 8 bytes to a frame: the table is wrong, nothing else helps.
        assert_eq!(scan(&bytes).frames, None);
        let offsets: Vec<u8> = (0..frames)
            .flat_map(|frame| (frame * 18).to_le_bytes())
            .collect();
        let pixels = [element(0x7FE0_0001, "OV", &offsets), pixels[1..].concat()].concat();
        let scan = scan(&image(&frames.to_string(), &pixels));
        let hole = scan.holes.len() - 1;
        let offsets = (0..=frames).map(|frame| 8 + frame * 18).collect();
        assert_eq!(
            scan.frames,
            Some(FrameTable::Encapsulated { hole, offsets })
        );
    }
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn deflated() {
    let plain = [id("1"), element(0x7FE0_0010, "OW", &[1; 100_000])].concat();
    let bytes = deflate(&plain);
    let scan = scan_as(Form::DataSet, Some(DEFLATED), &bytes);
    assert!(scan.deflated && scan.frames.is_none() && scan.header.is_empty());
    assert_eq!((scan.holes.len(), scan.length as usize), (1, bytes.len()));
    assert_eq!(
        (text(&scan, ID), scan.problem.is_none()),
        (Some(vec!["1"]), true)
    );
    assert_eq!(inflate(&bytes, plain.len()), Ok(plain.clone()));
    assert!(inflate(&bytes, plain.len() - 1).is_err());
    assert!(inflate(&bytes[..50], plain.len()).is_err());
    let cut = scan_as(Form::DataSet, Some(DEFLATED), &bytes[..bytes.len() - 5]);
    assert_eq!(text(&cut, ID), Some(vec!["1"]));
    assert!(problem(&cut).contains("cut short"));
}

#[test]
fn every_deflated_transfer_syntax() {
    let bytes = deflate(&id("1"));
    for uid in [
        DEFLATED,
        "1.2.840.10008.1.2.4.95",
        "1.2.840.10008.1.2.4.205",
    ] {
        let scan = scan_as(Form::DataSet, Some(uid), &bytes);
        assert_eq!((scan.deflated, text(&scan, ID)), (true, Some(vec!["1"])));
        assert_eq!(scan.transfer_syntax, uid);
    }
}

#[test]
fn deflated_in_part_10_without_group_length() {
    let meta = element(0x0002_0010, "UI", DEFLATED.as_bytes());
    let bytes = [&[0; 128][..], b"DICM", &meta, &deflate(&id("1"))].concat();
    let scan = scan_as(Form::Part10, None, &bytes);
    assert_eq!((scan.deflated, text(&scan, ID)), (true, Some(vec!["1"])));
}

#[test]
fn a_bomb_stops() {
    let zeros = [id("1"), element(0x0010_4000, "UT", &vec![b' '; 2 << 20])].concat();
    let limits = Limits {
        max_header: 1 << 20,
        ..Limits::default()
    };
    let (scan, _) = scan_in(
        Form::DataSet,
        Some(DEFLATED),
        &deflate(&zeros),
        1000,
        limits,
    );
    assert!(
        !scan.fatal && problem(&scan).contains("over 1048576 bytes"),
        "{}",
        problem(&scan)
    );
}
