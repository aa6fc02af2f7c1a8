//! Stores, in slices of how they are written.

use crate::msgpack::Reader;

const MODALITY: u64 = 0x0008_0060;

/// Where a blob is: pack, offset, size of the record, length of the blob.
pub(super) type Place = [u64; 4];

/// A store: its members as docs/format/index.md and vna/types/commit.py have them. Texts are
/// without what says how long they are; attributes and version are as they are written.
pub(super) struct Store<'a> {
    pub(super) stamp: u64,
    pub(super) patient_key: &'a [u8],
    pub(super) study_uid: &'a [u8],
    pub(super) series_uid: &'a [u8],
    pub(super) sop_uid: &'a [u8],
    pub(super) sop_class: &'a [u8],
    pub(super) patient: &'a [u8],
    pub(super) study: &'a [u8],
    pub(super) series: &'a [u8],
    pub(super) instance: &'a [u8],
    pub(super) version: &'a [u8],
    /// Of the series' attributes.
    pub(super) modality: &'a [u8],
    /// Bytes of the data set.
    pub(super) length: u64,
    /// The blobs that the version is made of, each once.
    pub(super) needed: Vec<&'a [u8]>,
    /// Those that came with it.
    pub(super) brought: Vec<(&'a [u8], Place)>,
}

/// Take a store and what it brought from the front; None for anything else.
pub(super) fn read<'a>(from: &mut Reader<'a>) -> Option<Store<'a>> {
    from.array_of(2)?;
    from.array_of(13)?;
    if from.text()? != b"store" {
        return None;
    }
    let stamp = from.uint()?;
    let _policy = from.text()?;
    let mut store = Store {
        stamp,
        patient_key: from.text()?,
        study_uid: from.text()?,
        series_uid: from.text()?,
        sop_uid: from.text()?,
        sop_class: from.text()?,
        patient: from.value()?,
        study: from.value()?,
        series: from.value()?,
        instance: from.value()?,
        version: from.value()?,
        modality: b"",
        length: 0,
        needed: Vec::new(),
        brought: Vec::new(),
    };
    store.modality = modality(store.series)?;
    look_into_version(&mut store)?;
    for _ in 0..from.array()? {
        from.array_of(2)?;
        let digest = from.bytes()?;
        store.brought.push((digest, place(from)?));
    }
    Some(store)
}

/// Take where a blob is.
pub(super) fn place(from: &mut Reader<'_>) -> Option<Place> {
    from.array_of(4)?;
    Some([from.uint()?, from.uint()?, from.uint()?, from.uint()?])
}

/// The first value of Modality, empty where there is none; None where it is no text.
fn modality(series: &[u8]) -> Option<&[u8]> {
    let mut attributes = Reader(series);
    for _ in 0..attributes.map()? {
        if attributes.uint()? != MODALITY {
            attributes.value()?;
            continue;
        }
        return match attributes.array()? {
            0 => Some(b""),
            _ => attributes.text(),
        };
    }
    Some(b"")
}

/// Find the length of a version's data set, and its blobs. Its stamp is to be that of the store.
fn look_into_version(store: &mut Store<'_>) -> Option<()> {
    let mut version = Reader(store.version);
    version.array_of(11)?;
    if version.uint()? != store.stamp {
        return None;
    }
    let _digest = version.bytes()?;
    let _transfer_syntax = version.text()?;
    store.length = version.uint()?;
    store.needed.push(version.bytes()?);
    let _prefix = version.uint()?;
    for _ in 0..version.array()? {
        version.array_of(5)?;
        let _place = (version.uint()?, version.uint()?);
        store.needed.push(version.bytes()?);
        let _path_and_vr = (version.value()?, version.text()?);
    }
    if !version.nil() {
        version.array_of(6)?;
        for _ in 0..5 {
            version.value()?;
        }
        if !version.nil() {
            store.needed.push(version.bytes()?);
        }
    }
    store.needed.sort_unstable();
    store.needed.dedup();
    Some(())
}
