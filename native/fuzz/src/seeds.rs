//! Well-formed inputs for each target, its choice bytes in front.

use vna_core::codec::{Form, Geometry, encode};
use vna_core::pdu::pdata;

const UNDEFINED: u32 = u32::MAX;
const ITEM: u32 = 0xFFFE_E000;
const ITEM_END: u32 = 0xFFFE_E00D;
const SEQUENCE_END: u32 = 0xFFFE_E0DD;

/// How elements are written: explicit VR or not, big endian or not.
#[derive(Clone, Copy)]
struct Syntax {
    explicit: bool,
    big: bool,
}

/// The transfer syntaxes in the order in which the JSON target chooses them.
const SYNTAXES: [Syntax; 3] = [
    Syntax {
        explicit: true,
        big: false,
    },
    Syntax {
        explicit: false,
        big: false,
    },
    Syntax {
        explicit: true,
        big: true,
    },
];

impl Syntax {
    fn tag(self, tag: u32) -> Vec<u8> {
        let (group, element) = ((tag >> 16) as u16, tag as u16);
        if self.big {
            [group.to_be_bytes(), element.to_be_bytes()].concat()
        } else {
            [group.to_le_bytes(), element.to_le_bytes()].concat()
        }
    }

    fn long(self, number: u32) -> [u8; 4] {
        if self.big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    }

    fn short(self, number: u16) -> [u8; 2] {
        if self.big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    }

    fn header(self, tag: u32, vr: &str, length: u32) -> Vec<u8> {
        let mut out = self.tag(tag);
        if !self.explicit || tag >> 16 == 0xFFFE {
            out.extend(self.long(length));
        } else if matches!(vr, "OB" | "OW" | "SQ" | "UN" | "UT") {
            out.extend(vr.as_bytes());
            out.extend([0, 0]);
            out.extend(self.long(length));
        } else {
            out.extend(vr.as_bytes());
            out.extend(self.short(length as u16));
        }
        out
    }

    fn element(self, tag: u32, vr: &str, value: &[u8]) -> Vec<u8> {
        [&self.header(tag, vr, value.len() as u32), value].concat()
    }

    /// Text in two character sets, sequences of both kinds of length, numbers.
    fn front(self) -> Vec<u8> {
        let inner = self.element(0x0040_1001, "SH", b"RP1 ");
        let item = self.element(ITEM, "", &inner);
        let open = [
            self.header(0x0008_1115, "SQ", UNDEFINED),
            self.header(ITEM, "", UNDEFINED),
            self.element(0x0020_000E, "UI", b"1.2\0"),
            self.header(ITEM_END, "", 0),
            self.header(SEQUENCE_END, "", 0),
        ]
        .concat();
        [
            self.element(0x0008_0005, "CS", b"\\ISO 2022 IR 87 "),
            self.element(0x0008_0018, "UI", b"1.2.3.4\0"),
            open,
            self.element(0x0010_0010, "PN", b"Yamada^T=\x1b$B;3ED\x1b(B^T "),
            self.element(0x0020_000D, "UI", b"1.2.3\0"),
            self.element(0x0028_0002, "US", &self.short(1)),
            self.element(0x0028_0008, "IS", b"2 "),
            self.element(0x0028_0010, "US", &self.short(8)),
            self.element(0x0028_0011, "US", &self.short(8)),
            self.element(0x0028_0100, "US", &self.short(16)),
            self.element(0x0040_0275, "SQ", &item),
        ]
        .concat()
    }

    fn native(self) -> Vec<u8> {
        let pixels = self.element(0x7FE0_0010, "OW", &[7; 256]);
        [self.front(), pixels].concat()
    }
}

/// Two frames in three fragments, with a Basic or an Extended Offset Table.
fn encapsulated(extended: bool) -> Vec<u8> {
    let syntax = SYNTAXES[0];
    let mut out = syntax.front();
    let mut table = Vec::new();
    if extended {
        let numbers = |all: [u64; 2]| all.map(u64::to_le_bytes).concat();
        out.extend(syntax.element(0x7FE0_0001, "OV", &numbers([0, 88])));
        out.extend(syntax.element(0x7FE0_0002, "OV", &numbers([72, 40])));
    } else {
        table = [0_u32, 88].map(u32::to_le_bytes).concat();
    }
    out.extend(syntax.header(0x7FE0_0010, "OB", UNDEFINED));
    out.extend(syntax.element(ITEM, "", &table));
    for length in [40, 32, 40] {
        out.extend(syntax.element(ITEM, "", &[0xD9].repeat(length)));
    }
    out.extend(syntax.header(SEQUENCE_END, "", 0));
    out
}

/// A preamble and file meta information in front of a data set.
fn part10(transfer_syntax: &str, data_set: &[u8]) -> Vec<u8> {
    let syntax = SYNTAXES[0];
    let mut uid = transfer_syntax.as_bytes().to_vec();
    uid.resize(uid.len().next_multiple_of(2), 0);
    let meta = syntax.element(0x0002_0010, "UI", &uid);
    let length = (meta.len() as u32).to_le_bytes();
    let group = syntax.element(0x0002_0000, "UL", &length);
    [&[0; 128], &b"DICM"[..], &group, &meta, data_set].concat()
}

/// A deflated data set of stored blocks: the deflate format without compression.
fn deflated(data_set: &[u8]) -> Vec<u8> {
    let length = data_set.len() as u16;
    let head = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
    [&[1], &head[..], data_set].concat()
}

/// Choice (form, transfer syntax), size of the pieces, object.
pub fn scan() -> Vec<Vec<u8>> {
    let native = SYNTAXES.map(Syntax::native);
    let bare = [
        (4, native[0].clone()),
        (2, native[1].clone()),
        (6, native[2].clone()),
        (8, deflated(&native[0])),
        (10, encapsulated(false)),
        (10, encapsulated(true)),
    ];
    let files = [
        ("1.2.840.10008.1.2.1", native[0].clone()),
        ("1.2.840.10008.1.2.1.99", deflated(&native[0])),
        ("1.2.840.10008.1.2.4.90", encapsulated(false)),
    ];
    bare.into_iter()
        .chain(files.map(|(syntax, data_set)| (1, part10(syntax, &data_set))))
        .chain([(1, native[1].clone())])
        .map(|(choice, object)| [vec![choice, 7], object].concat())
        .collect()
}

/// Transfer syntax, place and length of a hole, header.
pub fn json() -> Vec<Vec<u8>> {
    let headers = SYNTAXES.map(Syntax::native).into_iter().enumerate();
    let mut seeds: Vec<_> = headers
        .map(|(syntax, header)| [vec![syntax as u8, 0, 0], header].concat())
        .collect();
    seeds.push([&[0, 20, 8], &encapsulated(true)[..]].concat());
    seeds
}

/// Length of the value of Specific Character Set, the value, text.
pub fn charset() -> Vec<Vec<u8>> {
    let texts: [(&str, &[u8]); 6] = [
        ("ISO_IR 100", b"M\xFCller^J\xF6rg\\Zw\xF6lf"),
        ("ISO_IR 192", "山田^太郎=やまだ".as_bytes()),
        (
            "\\ISO 2022 IR 87",
            b"Yamada^T=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
        ),
        (
            "\\ISO 2022 IR 149",
            b"Hong^Gil=\x1b$)C\xFB\xF3^\x1b$)C\xD1\xCE",
        ),
        ("GB18030", b"Wang=\xCD\xF5^\xD0\xA1\xB6\xAB"),
        ("ISO_IR 13", b"\xD4\xCF\xC0\xDE^\xC0\xDB\xB3"),
    ];
    texts
        .iter()
        .map(|(term, text)| [&[term.len() as u8], term.as_bytes(), text].concat())
        .collect()
}

/// Rows of 50 samples of 16 bits.
fn pixels() -> Vec<u8> {
    (0..4000_u32)
        .flat_map(|at| (at % 50 * 3 + at / 50 + at * at % 7).to_le_bytes()[..2].to_vec())
        .collect()
}

/// What to do, with what length and columns; pixels, and those coded.
pub fn weave() -> Vec<Vec<u8>> {
    let pixels = pixels();
    let coded = vna_core::codec::weave::encode(&pixels, 50).expect("shrinks");
    // 125 * 64 bytes are what the pixels are.
    vec![
        [&[1, 0, 50], &pixels[..]].concat(),
        [&[3, 0, 100], &pixels[..]].concat(),
        [&[0, 125, 0], &coded[..]].concat(),
    ]
}

/// What to do, with what length and geometry; pixels, and those coded.
pub fn lanes() -> Vec<Vec<u8>> {
    let pixels = pixels();
    let geometry = |sample_bytes, pixel_samples| Geometry {
        columns: 50,
        sample_bytes,
        pixel_samples,
    };
    let mut seeds = vec![
        [&[1, 0, 50, 2, 1], &pixels[..]].concat(),
        [&[3, 0, 50, 1, 3], &pixels[..]].concat(),
    ];
    for (form, geometry) in [
        (Form::Fast, geometry(2, 1)),
        (Form::Strong, geometry(2, 1)),
        (Form::Strong, geometry(1, 3)),
    ] {
        let coded = encode(&pixels, geometry, form).expect("shrinks");
        // 125 * 64 bytes are what the pixels are.
        seeds.push([&[0, 125, 0, 0, 0], &coded[..]].concat());
    }
    seeds
}

/// Size of the pieces, then PDUs: associate, a message with a data set, release.
pub fn pdu() -> Vec<Vec<u8>> {
    let control = |kind: u8, body: &[u8]| {
        let length = (body.len() as u32).to_be_bytes();
        [&[kind, 0], &length[..], body].concat()
    };
    let part = |bytes: &[u8], command, max| {
        let pdus = pdata(1, bytes.len(), command, true, max).expect("fits");
        let pdus = pdus.into_iter();
        pdus.flat_map(|(header, run)| [&header[..], &bytes[run]].concat())
            .collect::<Vec<u8>>()
    };
    let stream = [
        control(1, &[0x41; 74]),
        part(&[0x43; 90], true, 0),
        part(&[0x44; 900], false, 128),
        part(&[0x45; 60], true, 16),
        control(5, &[0; 4]),
    ]
    .concat();
    [1, 5, 255]
        .map(|size| [&[size], &stream[..]].concat())
        .to_vec()
}
