//! Encodings, sequences, what is broken: one test for each rule.

use super::*;

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
fn an_item_keeps_its_character_set_behind_a_sequence_in_it() {
    let content = [
        element(SPEC as u32, "CS", b"ISO_IR 192"),
        element(0x0008_1140, "SQ", &item(&id("1"))),
        name("\u{e4}"),
    ];
    let items = [
        item(&content.concat()),
        item(&element(NAME as u32, "PN", b"\xe4")),
    ]
    .concat();
    let scan = scan(&element(0x0008_1115, "SQ", &items));
    assert_eq!(
        text(&scan, 0x0008_1115_0010_0010),
        Some(vec!["\u{e4}", "\u{e4}"])
    );
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
fn unknown_of_undefined_length_is_fragments_where_the_tag_is_pixel_data() {
    // Read as an item, the fragment would begin with a name of 65535 bytes.
    let fragment = item(b"\x10\0\x10\0PN\xff\xff");
    let fragments = [&item(b"")[..], &fragment, CLOSE_SEQUENCE].concat();
    let icon = [
        &undefined(0x0088_0200, "SQ")[..],
        OPEN_ITEM,
        &undefined(0x7FE0_0010, "UN"),
        &fragments,
        CLOSE_ITEM,
        CLOSE_SEQUENCE,
    ];
    let pixels = [&undefined(0x7FE0_0010, "OB")[..], &fragments].concat();
    let scan = scan(&[icon.concat(), pixels].concat());
    assert_eq!(
        (problem(&scan), paths(&scan)),
        (String::new(), vec![&[0x7FE0_0010][..]])
    );
}

#[test]
fn unknown_of_undefined_length_without_items_in_big_endian() {
    let mut empty = big(0x0009_1010, "UN", b"");
    empty.splice(6.., [0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    let bytes = [&empty[..], CLOSE_SEQUENCE, &big(ID as u32, "LO", b"1 ")].concat();
    let scan = scan_as(Form::DataSet, Some(EXPLICIT_BIG), &bytes);
    assert_eq!(
        (text(&scan, ID), problem(&scan)),
        (Some(vec!["1"]), String::new())
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
fn an_element_header_beyond_its_sequence_is_passed_over() {
    let head = &element(0x0010_4000, "UC", b"")[..8];
    let bytes = [
        element(0x0008_1115, "SQ", &item(head)),
        id("1"),
        vec![0; 200],
    ]
    .concat();
    for form in [Form::DataSet, Form::Part10] {
        let scan = scan_as(form, Some(EXPLICIT_LITTLE), &bytes);
        assert_eq!(
            (text(&scan, ID), problem(&scan)),
            (Some(vec!["1"]), String::new())
        );
    }
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
