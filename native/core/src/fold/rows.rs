//! Values of the index (docs/format/index.md, "Values"), read and written. None for one that has
//! other members than these: it was written by another version.

use crate::fold::store::{Place, place};
use crate::msgpack::{Reader, Writer};

/// How many there are of each name, in the order in which they came.
#[derive(Default)]
pub(super) struct Tally<'a>(Vec<(&'a [u8], u64)>);

impl<'a> Tally<'a> {
    fn read(from: &mut Reader<'a>) -> Option<Self> {
        let pairs = (0..from.map()?).map(|_| Some((from.text()?, from.uint()?)));
        pairs.collect::<Option<_>>().map(Self)
    }

    pub(super) fn add(&mut self, name: &'a [u8]) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => self.0.push((name, 1)),
        }
    }

    fn write(&self, to: &mut Writer) {
        to.map(self.0.len());
        for (name, count) in &self.0 {
            to.text(name).uint(*count);
        }
    }
}

/// The last ids given, the counts, the largest stamp.
pub(super) struct State {
    pub(super) patient: u64,
    pub(super) study: u64,
    pub(super) series: u64,
    pub(super) instance: u64,
    pub(super) change: u64,
    pub(super) stamp: u64,
    pub(super) patients: u64,
    pub(super) studies: u64,
    pub(super) all_series: u64,
    pub(super) instances: u64,
    pub(super) bytes: u64,
    deleted: u64,
    pub(super) blobs: u64,
    pub(super) blob_bytes: u64,
}

impl State {
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let from = &mut Reader(value);
        from.array_of(7)?;
        let [patient, study, series, instance, change] = numbers(from)?;
        from.array_of(8)?;
        let [
            patients,
            studies,
            all_series,
            instances,
            bytes,
            deleted,
            blobs,
            blob_bytes,
        ] = numbers(from)?;
        Some(Self {
            patient,
            study,
            series,
            instance,
            change,
            stamp: from.uint()?,
            patients,
            studies,
            all_series,
            instances,
            bytes,
            deleted,
            blobs,
            blob_bytes,
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.array(7);
        to.uint(self.patient).uint(self.study).uint(self.series);
        to.uint(self.instance).uint(self.change);
        to.array(8);
        to.uint(self.patients)
            .uint(self.studies)
            .uint(self.all_series);
        to.uint(self.instances).uint(self.bytes).uint(self.deleted);
        to.uint(self.blobs).uint(self.blob_bytes);
        to.uint(self.stamp);
        to.0
    }
}

/// `was` are the attributes in its row; None where it has none yet, as in the other entities.
pub(super) struct Patient<'a> {
    pub(super) id: u64,
    pub(super) key: &'a [u8],
    pub(super) attributes: &'a [u8],
    pub(super) updated: u64,
    pub(super) studies: u64,
    pub(super) was: Option<&'a [u8]>,
}

impl<'a> Patient<'a> {
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let from = &mut Reader(value);
        from.array_of(5)?;
        let (id, key, attributes) = (from.uint()?, from.text()?, from.value()?);
        let (updated, studies) = (from.uint()?, from.uint()?);
        let was = Some(attributes);
        Some(Self {
            id,
            key,
            attributes,
            updated,
            studies,
            was,
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.array(5)
            .uint(self.id)
            .text(self.key)
            .value(self.attributes);
        to.uint(self.updated).uint(self.studies);
        to.0
    }
}

/// `patient` is its number in the group.
pub(super) struct Study<'a> {
    pub(super) id: u64,
    pub(super) patient_id: u64,
    pub(super) patient_key: &'a [u8],
    pub(super) uid: &'a [u8],
    pub(super) attributes: &'a [u8],
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) changed: u64,
    pub(super) series: u64,
    pub(super) instances: u64,
    pub(super) bytes: u64,
    pub(super) modalities: Tally<'a>,
    pub(super) sop_classes: Tally<'a>,
    pub(super) was: Option<&'a [u8]>,
    pub(super) patient: usize,
}

impl<'a> Study<'a> {
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let from = &mut Reader(value);
        from.array_of(13)?;
        let (id, patient_id) = (from.uint()?, from.uint()?);
        let (patient_key, uid, attributes) = (from.text()?, from.text()?, from.value()?);
        let [created, updated, changed, series, instances, bytes] = numbers(from)?;
        Some(Self {
            id,
            patient_id,
            patient_key,
            uid,
            attributes,
            created,
            updated,
            changed,
            series,
            instances,
            bytes,
            modalities: Tally::read(from)?,
            sop_classes: Tally::read(from)?,
            was: Some(attributes),
            patient: 0,
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.array(13).uint(self.id).uint(self.patient_id);
        to.text(self.patient_key)
            .text(self.uid)
            .value(self.attributes);
        to.uint(self.created).uint(self.updated).uint(self.changed);
        to.uint(self.series).uint(self.instances).uint(self.bytes);
        self.modalities.write(&mut to);
        self.sop_classes.write(&mut to);
        to.0
    }
}

/// `study` is its number in the group.
pub(super) struct Series<'a> {
    pub(super) id: u64,
    pub(super) study_id: u64,
    pub(super) uid: &'a [u8],
    pub(super) attributes: &'a [u8],
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) changed: u64,
    pub(super) instances: u64,
    pub(super) bytes: u64,
    pub(super) modality: &'a [u8],
    pub(super) was: Option<&'a [u8]>,
    pub(super) study: usize,
}

impl<'a> Series<'a> {
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let from = &mut Reader(value);
        from.array_of(10)?;
        let (id, study_id) = (from.uint()?, from.uint()?);
        let (uid, attributes) = (from.text()?, from.value()?);
        let [created, updated, changed, instances, bytes] = numbers(from)?;
        Some(Self {
            id,
            study_id,
            uid,
            attributes,
            created,
            updated,
            changed,
            instances,
            bytes,
            modality: from.text()?,
            was: Some(attributes),
            study: 0,
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.array(10).uint(self.id).uint(self.study_id);
        to.text(self.uid).value(self.attributes);
        to.uint(self.created).uint(self.updated).uint(self.changed);
        to.uint(self.instances).uint(self.bytes).text(self.modality);
        to.0
    }
}

/// A blob at one place or several; `copies` as they are written.
pub(super) struct Blob<'a> {
    pub(super) place: Place,
    pub(super) refs: u64,
    copies: &'a [u8],
}

impl<'a> Blob<'a> {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            refs: 0,
            copies: &[0x90],
        }
    }

    /// One that some version needs, and that is somewhere; None for any other.
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let from = &mut Reader(value);
        from.array_of(3)?;
        let (place, refs, copies) = (place(from)?, from.uint()?, from.value()?);
        (refs > 0).then_some(Self {
            place,
            refs,
            copies,
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.array(3).array(4);
        for number in self.place {
            to.uint(number);
        }
        to.uint(self.refs).value(self.copies);
        to.0
    }
}

/// How much of a pack is applied, and in use.
#[derive(Default)]
pub(super) struct PackUse {
    pub(super) mark: u64,
    pub(super) live: u64,
    pub(super) total: u64,
    pub(super) end: u64,
    spare: u64,
    moved: u64,
}

impl PackUse {
    /// One that was not let go of; None for any other.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let from = &mut Reader(value);
        from.array_of(7)?;
        let [mark, live, total, end, spare, moved] = numbers(from)?;
        let whole = Self {
            mark,
            live,
            total,
            end,
            spare,
            moved,
        };
        (!from.flag()?).then_some(whole)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.array(7).uint(self.mark).uint(self.live).uint(self.total);
        to.uint(self.end)
            .uint(self.spare)
            .uint(self.moved)
            .flag(false);
        to.0
    }
}

fn numbers<const N: usize>(from: &mut Reader<'_>) -> Option<[u64; N]> {
    let mut all = [0; N];
    for number in &mut all {
        *number = from.uint()?;
    }
    Some(all)
}
