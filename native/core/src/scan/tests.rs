//! The rules of the scan, one test each, on data sets made here; then properties of all of them.

use proptest::prelude::*;

use super::*;

const SPEC: u64 = 0x0008_0005;
const NAME: u64 = 0x0010_0010;
const ID: u64 = 0x0010_0020;

/// An explicit VR little endian element.
fn element(tag: u32, vr: &str, value: &[u8]) -> Vec<u8> {
    let vr = Vr(vr.as_bytes().try_into().unwrap());
    let mut out = tag_bytes(tag);
    out.extend(vr.0);
    if vr.has_long_length() {
        out.extend([0, 0]);
        out.extend((value.len() as u32).to_le_bytes());
    } else {
        out.extend((value.len() as u16).to_le_bytes());
    }
    [&out, value].concat()
}

/// An explicit VR big endian element with a short length.
fn big(tag: u32, vr: &str, value: &[u8]) -> Vec<u8> {
    let head = [
        &tag.to_be_bytes(),
        vr.as_bytes(),
        &(value.len() as u16).to_be_bytes()[..],
    ];
    [&head.concat(), value].concat()
}

/// An implicit VR little endian element, item or delimiter.
fn implicit(tag: u32, value: &[u8]) -> Vec<u8> {
    [
        &tag_bytes(tag),
        &(value.len() as u32).to_le_bytes()[..],
        value,
    ]
    .concat()
}

/// An element of undefined length, up to its value.
fn undefined(tag: u32, vr: &str) -> Vec<u8> {
    [
        &tag_bytes(tag)[..],
        vr.as_bytes(),
        &[0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
    ]
    .concat()
}

fn tag_bytes(tag: u32) -> Vec<u8> {
    [
        ((tag >> 16) as u16).to_le_bytes(),
        (tag as u16).to_le_bytes(),
    ]
    .concat()
}

const OPEN_ITEM: &[u8] = b"\xfe\xff\x00\xe0\xff\xff\xff\xff";
const CLOSE_ITEM: &[u8] = b"\xfe\xff\x0d\xe0\0\0\0\0";
const CLOSE_SEQUENCE: &[u8] = b"\xfe\xff\xdd\xe0\0\0\0\0";

fn item(value: &[u8]) -> Vec<u8> {
    implicit(crate::element::ITEM, value)
}

fn name(value: &str) -> Vec<u8> {
    element(NAME as u32, "PN", value.as_bytes())
}

fn id(value: &str) -> Vec<u8> {
    element(ID as u32, "LO", value.as_bytes())
}

/// Scan in pieces of `size`; return what was found, and the bytes of each hole.
fn scan_in(
    form: Form,
    syntax: Option<&str>,
    bytes: &[u8],
    size: usize,
    limits: Limits,
) -> (Scan, Vec<Vec<u8>>) {
    let sequenced = 0x0008_1115_0008_1150;
    let interest = [SPEC, NAME, ID, 0x0028_0106, sequenced];
    let mut splitter = Splitter::new(form, syntax, &interest, limits);
    let mut holes: Vec<Vec<u8>> = Vec::new();
    for piece in bytes.chunks(size.max(1)) {
        let mut runs = Vec::new();
        splitter.feed(piece, &mut runs);
        for run in runs {
            holes.resize(holes.len().max(run.hole + 1), Vec::new());
            holes[run.hole].extend(&piece[run.begin..run.end]);
        }
    }
    (splitter.finish(), holes)
}

/// Scan a data set; check that it comes back, in whatever pieces it went in.
fn scan_as(form: Form, syntax: Option<&str>, bytes: &[u8]) -> Scan {
    let (scan, holes) = scan_in(form, syntax, bytes, bytes.len(), Limits::default());
    check_whole(&scan, &holes, bytes);
    for size in [1, 3, 1000] {
        let again = scan_in(form, syntax, bytes, size, Limits::default());
        assert_eq!((&again.0, &again.1), (&scan, &holes), "in pieces of {size}");
    }
    scan
}

fn scan(bytes: &[u8]) -> Scan {
    scan_as(Form::DataSet, Some(EXPLICIT_LITTLE), bytes)
}

/// The header with the holes put back is the input, and digests are of what they say.
fn check_whole(scan: &Scan, holes: &[Vec<u8>], bytes: &[u8]) {
    if scan.fatal {
        return;
    }
    assert_eq!(scan.holes.len(), holes.len());
    let (mut whole, mut at) = (Vec::<u8>::new(), 0);
    for (hole, value) in scan.holes.iter().zip(holes) {
        whole.extend(&scan.header[at..hole.offset]);
        whole.extend(value);
        at = hole.offset;
        assert_eq!(hole.length, value.len() as u64);
        assert_eq!(hole.digest, *blake3::hash(value).as_bytes());
    }
    whole.extend(&scan.header[at..]);
    assert!(whole == bytes, "the object does not come back");
    assert_eq!(scan.length as usize, bytes.len() - scan.prefix);
}

fn text(scan: &Scan, key: u64) -> Option<Vec<&str>> {
    fn one(value: &Value) -> &str {
        match value {
            Value::Text(text) => text,
            _ => panic!("not text"),
        }
    }
    scan.values
        .get(&key)
        .map(|values| values.iter().map(one).collect())
}

fn problem(scan: &Scan) -> String {
    scan.problem
        .as_ref()
        .map_or_else(String::new, ToString::to_string)
}

fn paths(scan: &Scan) -> Vec<&[u32]> {
    scan.holes.iter().map(|hole| &hole.path[..]).collect()
}

#[test]
fn values_in_each_encoding() {
    let explicit = [name("A^B "), id("1")].concat();
    let implicit = [implicit(NAME as u32, b"A^B "), implicit(ID as u32, b"1")].concat();
    let big_endian = [big(NAME as u32, "PN", b"A^B "), big(ID as u32, "LO", b"1")].concat();
    for (declared, bytes) in [
        (EXPLICIT_LITTLE, &explicit),
        (IMPLICIT_LITTLE, &implicit),
        (EXPLICIT_BIG, &big_endian),
    ] {
        let known = scan_as(Form::DataSet, Some(declared), bytes);
        let guessed = scan_as(Form::DataSet, None, bytes);
        for scan in [known, guessed] {
            assert_eq!(text(&scan, NAME), Some(vec!["A^B"]));
            assert_eq!(text(&scan, ID), Some(vec!["1"]));
            assert_eq!(
                (scan.transfer_syntax.as_str(), scan.problem),
                (declared, None)
            );
        }
        // What is declared is what is said; what is there is what is read.
        for other in [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG] {
            let scan = scan_as(Form::DataSet, Some(other), bytes);
            assert_eq!(text(&scan, ID), Some(vec!["1"]), "{declared} as {other}");
            assert_eq!(scan.transfer_syntax, other);
        }
    }
}

#[test]
fn part_10() {
    let meta = element(0x0002_0010, "UI", b"1.2.840.10008.1.2.1\0");
    let bytes = [&[7; 128][..], b"DICM", &meta, &id("1")].concat();
    let scan = scan_as(Form::Part10, None, &bytes);
    assert_eq!((scan.prefix, scan.length), (132 + meta.len(), 10 - 1));
    assert_eq!(scan.meta[&0x0002_0010], EXPLICIT_LITTLE);
    assert_eq!(text(&scan, ID), Some(vec!["1"]));
    // The digest is of the data set, whatever wraps it.
    let bare = scan_as(Form::DataSet, Some(EXPLICIT_LITTLE), &id("1"));
    assert_eq!(scan.digest, bare.digest);
}

#[test]
fn part_10_without_anything_in_front() {
    let bytes = [name("A"), id("1")].concat();
    let scan = scan_as(Form::Part10, None, &bytes);
    assert_eq!(
        (scan.prefix, scan.transfer_syntax.as_str()),
        (0, EXPLICIT_LITTLE)
    );
    assert_eq!(text(&scan, ID), Some(vec!["1"]));
}

#[test]
fn not_dicom() {
    for bytes in [
        &b"<html><body>hello</body></html>"[..],
        &[0xFF, 0xD8, 0xFF, 0xE0, 1, 2, 3, 4],
    ] {
        let scan = scan_as(Form::Part10, None, bytes);
        assert!(
            scan.fatal && problem(&scan).contains("not DICOM"),
            "{}",
            problem(&scan)
        );
    }
}

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
fn values_in_items() {
    let class = |uid: &[u8]| element(0x0008_1150, "UI", uid);
    let items = [item(&class(b"1.2\0")), item(&class(b"1.3\0"))].concat();
    for bytes in [
        element(0x0008_1115, "SQ", &items),
        [
            undefined(0x0008_1115, "SQ"),
            items.clone(),
            CLOSE_SEQUENCE.to_vec(),
        ]
        .concat(),
    ] {
        let scan = scan(&[bytes, id("1")].concat());
        assert_eq!(text(&scan, 0x0008_1115_0008_1150), Some(vec!["1.2", "1.3"]));
        assert_eq!(
            (text(&scan, ID), scan.problem.is_none()),
            (Some(vec!["1"]), true)
        );
    }
}

#[test]
fn unknown_of_undefined_length_is_an_implicit_sequence() {
    let content = implicit(0x0008_1150, b"1.2\0");
    let sequence = [
        OPEN_ITEM,
        &content,
        CLOSE_ITEM,
        &item(&content),
        CLOSE_SEQUENCE,
    ]
    .concat();
    let bytes = [undefined(0x0008_1115, "UN"), sequence.clone(), id("1")].concat();
    let scan = scan(&bytes);
    assert_eq!(text(&scan, 0x0008_1115_0008_1150), Some(vec!["1.2", "1.2"]));
    assert_eq!(
        (text(&scan, ID), scan.problem.is_none()),
        (Some(vec!["1"]), true)
    );
    // In a big endian data set it still is little endian.
    let head = [&0x0008_1115u32.to_be_bytes()[..], b"UN\0\0\xff\xff\xff\xff"].concat();
    let bytes = [head, sequence, big(ID as u32, "LO", b"1")].concat();
    let scan = scan_as(Form::DataSet, Some(EXPLICIT_BIG), &bytes);
    assert_eq!(text(&scan, 0x0008_1115_0008_1150), Some(vec!["1.2", "1.2"]));
    assert_eq!(
        (text(&scan, ID), scan.problem.is_none()),
        (Some(vec!["1"]), true)
    );
}

#[test]
fn private_sequence_of_undefined_length_in_implicit() {
    let open = |tag| [&tag_bytes(tag)[..], &[0xFF; 4]].concat();
    let inner = implicit(0x0009_1011, b"x");
    let bytes = [
        &open(0x0009_1010)[..],
        OPEN_ITEM,
        &inner,
        CLOSE_ITEM,
        CLOSE_SEQUENCE,
        &implicit(ID as u32, b"1"),
    ];
    let scan = scan_as(Form::DataSet, Some(IMPLICIT_LITTLE), &bytes.concat());
    assert_eq!(
        (text(&scan, ID), scan.problem.is_none()),
        (Some(vec!["1"]), true)
    );
    // Not items: looked through for the delimiter.
    let bytes = [
        &open(0x0009_1010)[..],
        b"junk",
        CLOSE_SEQUENCE,
        &implicit(ID as u32, b"1"),
    ]
    .concat();
    let scan = scan_as(Form::DataSet, Some(IMPLICIT_LITTLE), &bytes);
    assert_eq!(
        (text(&scan, ID), scan.problem.is_none()),
        (Some(vec!["1"]), true)
    );
}

#[test]
fn a_value_beyond_its_sequence_ends_with_it() {
    let mut long = id("12345678");
    long[6] = 200;
    let bytes = [element(0x0008_1115, "SQ", &item(&long)), name("A")].concat();
    let scan = scan(&bytes);
    assert_eq!(
        (text(&scan, NAME), scan.problem.is_none()),
        (Some(vec!["A"]), true)
    );
}

#[test]
fn missing_delimiters() {
    let class = element(0x0008_1150, "UI", b"1.2\0");
    let no_item_end = [
        &undefined(0x0008_1115, "SQ")[..],
        OPEN_ITEM,
        &class,
        CLOSE_SEQUENCE,
    ];
    let no_sequence_end = [
        &undefined(0x0008_1115, "SQ")[..],
        OPEN_ITEM,
        &class,
        CLOSE_ITEM,
    ];
    for (sequence, what) in [
        (no_item_end, "lacks its delim"),
        (no_sequence_end, "no item where"),
    ] {
        let scan = scan(&[&sequence.concat()[..], &id("1")].concat());
        assert_eq!(text(&scan, ID), Some(vec!["1"]));
        assert!(problem(&scan).contains(what), "{}", problem(&scan));
    }
    let open = scan(&[&undefined(0x0008_1115, "SQ")[..], OPEN_ITEM, &class].concat());
    assert_eq!(
        problem(&open),
        "at byte 32, in (0008,1115): the sequence does not end"
    );
}

#[test]
fn a_sequence_of_defined_length_without_items_is_passed_over() {
    let scan = scan(&[element(0x0008_1115, "SQ", b"not items at all"), id("1")].concat());
    assert_eq!(text(&scan, ID), Some(vec!["1"]));
    assert!(problem(&scan).contains("no item"));
}

#[test]
fn odd_lengths_and_switched_elements() {
    let bytes = [
        implicit(NAME as u32, b"A^B"),
        element(0x0010_0021, "LO", b"odd"),
        id("1"),
    ];
    let scan = scan_as(
        Form::DataSet,
        Some(EXPLICIT_LITTLE),
        &[id("0"), bytes.concat()].concat(),
    );
    assert_eq!(
        (text(&scan, NAME), text(&scan, ID)),
        (Some(vec!["A^B"]), Some(vec!["1"]))
    );
    assert_eq!(scan.problem, None);
}

#[test]
fn an_implicit_item_in_an_explicit_data_set() {
    let content = [
        implicit(0x0008_1150, b"1.2\0"),
        implicit(0x0008_1155, b"1.3\0"),
    ]
    .concat();
    let scan = scan(&[element(0x0008_1115, "SQ", &item(&content)), id("1")].concat());
    assert_eq!(text(&scan, 0x0008_1115_0008_1150), Some(vec!["1.2"]));
    assert_eq!(text(&scan, ID), Some(vec!["1"]));
}

#[test]
fn unknown_vr_is_read_as_the_dictionary_has_it() {
    let scan = scan(
        &[
            element(NAME as u32, "UN", b"A^B "),
            element(ID as u32, "ZZ", b"1 "),
        ]
        .concat(),
    );
    assert_eq!(
        (text(&scan, NAME), text(&scan, ID)),
        (Some(vec!["A^B"]), Some(vec!["1"]))
    );
}

#[test]
fn pixel_representation_decides() {
    let signed = [
        implicit(0x0028_0103, &[1, 0]),
        implicit(0x0028_0106, &[0xFF, 0xFF]),
    ]
    .concat();
    let scan = scan_as(Form::DataSet, Some(IMPLICIT_LITTLE), &signed);
    assert_eq!(scan.values[&0x0028_0106], [Value::Integer(-1)]);
}

#[test]
fn trailing_bytes() {
    for (trail, what) in [
        (&[0; 1][..], ""),
        (&[0; 20], ""),
        (&[0; 6000], ""),
        (
            b"\0\0\0\0\0\0\0\0junk",
            "at byte 17: bytes after the end of the data set",
        ),
        (
            b"junk",
            "at byte 9, in (0010,0020): an element header is cut short",
        ),
    ] {
        let scan = scan(&[&id("1")[..], trail].concat());
        assert_eq!(
            (problem(&scan).as_str(), text(&scan, ID)),
            (what, Some(vec!["1"]))
        );
    }
}

#[test]
fn values_cut_short() {
    let bytes = [id("1"), element(0x7FE0_0010, "OW", &[1; 100])].concat();
    let cut = scan(&bytes[..bytes.len() - 30]);
    assert_eq!(
        problem(&cut),
        "at byte 91, in (7FE0,0010): the value ends after 70 of 100 bytes"
    );
    assert_eq!(
        (cut.holes[0].length, cut.holes[0].declared),
        (70, Some(100))
    );
    let none = scan(&bytes[..21]);
    assert_eq!(
        (none.holes.len(), problem(&none).contains("after 0 of 100")),
        (0, true)
    );
    let text_cut = scan(&id("12345678")[..12]);
    assert_eq!(text(&text_cut, ID), Some(vec!["1234"]));
    assert!(problem(&text_cut).contains("after 4 of 8 bytes"));
}

#[test]
fn command_set_first() {
    let scan = scan(&[implicit(0x0000_0002, b"1.2\0"), id("1")].concat());
    assert_eq!(
        (text(&scan, ID), scan.problem.is_none()),
        (Some(vec!["1"]), true)
    );
}

#[test]
fn too_deep() {
    let open = [undefined(0x0008_1115, "SQ"), OPEN_ITEM.to_vec()].concat();
    let deep = scan(&open.repeat(100_000));
    assert!(problem(&deep).contains("nested too deep"));
    let fine = [
        open.repeat(64),
        id("1"),
        [CLOSE_ITEM, CLOSE_SEQUENCE].concat().repeat(64),
    ];
    assert_eq!(scan(&fine.concat()).problem, None);
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
