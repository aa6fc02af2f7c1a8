//! The fold of new instances into the index (docs/format/index.md, "What apply does").
//!
//! A store of an instance that the index never heard of, with a stamp above all that it has seen, is
//! what an archive gets nearly always. No version, delete, purge or policy is in its way, and what it
//! says of patient, study and series is the newest. All else, and all that is not as it was expected,
//! is left to who knows the whole of it (vna/index/apply.py): then there is no fold.

mod rows;
mod store;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::msgpack::{Reader, Writer};
use rows::{Blob, PackUse, Patient, Series, State, Study, Tally};
use store::{Place, Store};

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// A row whose secondary keys change: level, key, attributes before and now, as they are written.
pub type Change = (u8, Vec<u8>, Option<Vec<u8>>, Vec<u8>);

/// What the index has to be given.
#[derive(Debug, Default)]
pub struct Folded {
    /// Entries by table, in the order of their keys.
    pub tables: BTreeMap<&'static str, Vec<Entry>>,
    /// Keys of the patients that are new, and of their rows.
    pub patients: Vec<Entry>,
    /// Keys of the instances' rows.
    pub instances: Vec<Vec<u8>>,
    /// The patients, studies and series that say something new.
    pub changes: Vec<Change>,
}

/// Return what becomes of the index by `group`, a MessagePack array of
///
/// - the stores, each an array of its commit and of the blobs that came with it, digest and place
/// - what the index has of all that they touch, as values: the state; arrays of patients, studies and
///   series that are alive; of blobs by digest; of packs by id
/// - how far packs are applied then, by id
///
/// None where that is not for here to say. That no instance is known, alive or deleted, and that no
/// copy that came is known as damaged, is the caller's to look after, and that what is not among
/// the values is not in the index.
pub fn fold(group: &[u8]) -> Option<Folded> {
    let mut from = Reader(group);
    from.array_of(3)?;
    let stores = from.value()?;
    let mut fold = Fold::new(&mut from)?;
    let mut stores = Reader(stores);
    for _ in 0..stores.array()? {
        fold.take(&store::read(&mut stores)?)?;
    }
    for _ in 0..from.array()? {
        from.array_of(2)?;
        let pack = fold.packs.entry(from.uint()?).or_default();
        pack.mark = pack.mark.max(from.uint()?);
    }
    fold.settle_parents()?;
    Some(fold.settle())
}

struct Fold<'a> {
    state: State,
    known_patients: HashMap<&'a [u8], Patient<'a>>,
    known_studies: HashMap<&'a [u8], Study<'a>>,
    known_series: HashMap<(u64, &'a [u8]), Series<'a>>,
    patients: Vec<Patient<'a>>,
    studies: Vec<Study<'a>>,
    series: Vec<Series<'a>>,
    patient_at: HashMap<&'a [u8], usize>,
    study_at: HashMap<&'a [u8], usize>,
    series_at: HashMap<(usize, &'a [u8]), usize>,
    instances: HashSet<&'a [u8]>,
    blobs: BTreeMap<&'a [u8], Blob<'a>>,
    packs: BTreeMap<u64, PackUse>,
    folded: Folded,
}

impl<'a> Fold<'a> {
    /// Take what the index has from the front.
    fn new(known: &mut Reader<'a>) -> Option<Self> {
        known.array_of(6)?;
        Some(Self {
            state: State::read(known.bytes()?)?,
            known_patients: all(known, |known| {
                let patient = Patient::read(known.bytes()?)?;
                Some((patient.key, patient))
            })?,
            known_studies: all(known, |known| {
                let study = Study::read(known.bytes()?)?;
                Some((study.uid, study))
            })?,
            known_series: all(known, |known| {
                let series = Series::read(known.bytes()?)?;
                Some(((series.study_id, series.uid), series))
            })?,
            blobs: all(known, |known| {
                known.array_of(2)?;
                Some((known.bytes()?, Blob::read(known.bytes()?)?))
            })?,
            packs: all(known, |known| {
                known.array_of(2)?;
                Some((known.uint()?, PackUse::read(known.bytes()?)?))
            })?,
            patients: Vec::new(),
            studies: Vec::new(),
            series: Vec::new(),
            patient_at: HashMap::new(),
            study_at: HashMap::new(),
            series_at: HashMap::new(),
            instances: HashSet::new(),
            folded: Folded::default(),
        })
    }

    fn take(&mut self, store: &Store<'a>) -> Option<()> {
        if store.stamp <= self.state.stamp || !self.instances.insert(store.sop_uid) {
            return None;
        }
        self.state.stamp = store.stamp;
        for &(digest, place) in &store.brought {
            self.learn(digest, place)?;
        }
        let patient = self.patient(store);
        let study = self.study(store, patient)?;
        let series = self.series(store, study)?;
        self.hold(store)?;
        self.feed(store, study, series);
        self.count(store, study, series)?;
        self.put_instance(store, study, series);
        Some(())
    }

    fn learn(&mut self, digest: &'a [u8], place: Place) -> Option<()> {
        let [pack, offset, size, _] = place;
        let pack = self.packs.entry(pack).or_default();
        pack.end = pack.end.max(offset.checked_add(size)?);
        pack.total = pack.total.checked_add(size)?;
        // Of a blob that has a place already, which one serves it is not for here to say.
        self.blobs
            .insert(digest, Blob::new(place))
            .is_none()
            .then_some(())
    }

    fn hold(&mut self, store: &Store<'a>) -> Option<()> {
        for digest in &store.needed {
            let blob = self.blobs.get_mut(digest)?;
            blob.refs += 1;
            if blob.refs == 1 {
                let [pack, _, size, _] = blob.place;
                self.packs.get_mut(&pack)?.live += size;
                self.state.blobs += 1;
                self.state.blob_bytes += size;
            }
        }
        Some(())
    }

    fn patient(&mut self, store: &Store<'a>) -> usize {
        let key = store.patient_key;
        let next = self.patients.len();
        let number = *self.patient_at.entry(key).or_insert(next);
        if number == next {
            self.patients
                .push(self.known_patients.remove(key).unwrap_or(Patient {
                    id: 0,
                    key,
                    attributes: store.patient,
                    updated: 0,
                    studies: 0,
                    was: None,
                }));
        }
        let patient = &mut self.patients[number];
        (patient.attributes, patient.updated) = (store.patient, store.stamp);
        number
    }

    fn study(&mut self, store: &Store<'a>, patient: usize) -> Option<usize> {
        let uid = store.study_uid;
        let next = self.studies.len();
        let number = *self.study_at.entry(uid).or_insert(next);
        if number == next {
            self.studies
                .push(self.known_studies.remove(uid).unwrap_or(Study {
                    id: 0,
                    patient_id: 0,
                    patient_key: store.patient_key,
                    uid,
                    attributes: store.study,
                    created: store.stamp,
                    updated: 0,
                    changed: 0,
                    series: 0,
                    instances: 0,
                    bytes: 0,
                    modalities: Tally::default(),
                    sop_classes: Tally::default(),
                    was: None,
                    patient,
                }));
        }
        let study = &mut self.studies[number];
        if study.patient_key != store.patient_key {
            return None; // it goes to another patient
        }
        if study.id == 0 {
            self.state.study += 1;
            study.id = self.state.study;
        }
        study.patient = patient;
        (study.attributes, study.updated) = (store.study, store.stamp);
        Some(number)
    }

    fn series(&mut self, store: &Store<'a>, study: usize) -> Option<usize> {
        let uid = store.series_uid;
        let study_id = self.studies[study].id;
        let next = self.series.len();
        let number = *self.series_at.entry((study, uid)).or_insert(next);
        if number == next {
            let known = self.known_series.remove(&(study_id, uid));
            self.series.push(known.unwrap_or(Series {
                id: 0,
                study_id,
                uid,
                attributes: store.series,
                created: store.stamp,
                updated: 0,
                changed: 0,
                instances: 0,
                bytes: 0,
                modality: store.modality,
                was: None,
                study,
            }));
        }
        let series = &mut self.series[number];
        if series.modality != store.modality {
            return None; // its study has to count it under another one
        }
        if series.id == 0 {
            self.state.series += 1;
            series.id = self.state.series;
        }
        series.study = study;
        (series.attributes, series.updated) = (store.series, store.stamp);
        Some(number)
    }

    fn feed(&mut self, store: &Store<'a>, study: usize, series: usize) {
        const STORED: u64 = 1;
        self.state.change += 1;
        let seq = self.state.change;
        self.studies[study].changed = seq;
        self.series[series].changed = seq;
        let mut change = Writer::default();
        change.array(6).uint(seq).uint(store.stamp).uint(STORED);
        change
            .text(store.study_uid)
            .text(store.series_uid)
            .text(store.sop_uid);
        self.put("feed", key(&[], &[seq]), change.0);
    }

    fn count(&mut self, store: &Store<'a>, study: usize, series: usize) -> Option<()> {
        let (study, series) = (&mut self.studies[study], &mut self.series[series]);
        study.instances += 1;
        study.sop_classes.add(store.sop_class);
        series.instances += 1;
        self.state.instances += 1;
        for bytes in [&mut study.bytes, &mut series.bytes, &mut self.state.bytes] {
            *bytes = bytes.checked_add(store.length)?;
        }
        Some(())
    }

    fn put_instance(&mut self, store: &Store<'a>, study: usize, series: usize) {
        self.state.instance += 1;
        let ids = [
            self.studies[study].id,
            self.series[series].id,
            self.state.instance,
        ];
        let row = key(&[], &ids);
        let mut value = Writer::default();
        value.array(9).uint(ids[2]).uint(ids[0]).uint(ids[1]);
        value
            .text(store.sop_uid)
            .text(store.sop_class)
            .value(store.instance);
        value
            .value(store.version)
            .array(0)
            .array(1)
            .uint(store.stamp);
        self.put("instances", row.clone(), value.0);
        self.put("uids", key(&[&[INSTANCE], store.sop_uid], &[]), row.clone());
        self.folded.instances.push(row);
    }

    /// Write series, studies and patients, in that order: what is new changes the one above.
    fn settle_parents(&mut self) -> Option<()> {
        for series in std::mem::take(&mut self.series) {
            let row = key(&[], &[series.study_id, series.id]);
            if series.was.is_none() {
                let study = &mut self.studies[series.study];
                study.series += 1;
                study.modalities.add(series.modality);
                self.state.all_series += 1;
                let name = key(&[&[SERIES], series.uid, &[0]], &[series.study_id]);
                self.put("uids", name, row.clone());
            }
            self.change(SERIES, &row, series.was, series.attributes);
            self.put("series", row, series.write());
        }
        for mut study in std::mem::take(&mut self.studies) {
            let row = key(&[], &[study.id]);
            let patient = &mut self.patients[study.patient];
            if study.was.is_some() && patient.was.is_none() {
                return None; // its patient is missing
            }
            if study.was.is_none() {
                if patient.id == 0 {
                    self.state.patient += 1;
                    patient.id = self.state.patient;
                }
                patient.studies += 1;
                study.patient_id = patient.id;
                self.state.studies += 1;
                let listed = key(&[&[STUDIES_OF]], &[study.patient_id, study.id]);
                self.put("keys", listed, Vec::new());
                self.put("uids", key(&[&[STUDY], study.uid], &[]), row.clone());
            }
            self.change(STUDY, &row, study.was, study.attributes);
            self.put("studies", row, study.write());
        }
        for patient in std::mem::take(&mut self.patients) {
            let row = key(&[], &[patient.id]);
            if patient.was.is_none() {
                self.state.patients += 1;
                self.folded
                    .patients
                    .push((patient.key.to_vec(), row.clone()));
            }
            self.change(PATIENT, &row, patient.was, patient.attributes);
            self.put("patients", row, patient.write());
        }
        Some(())
    }

    fn settle(mut self) -> Folded {
        for (digest, blob) in std::mem::take(&mut self.blobs) {
            self.put("blobs", digest.to_vec(), blob.write());
        }
        for (pack, used) in std::mem::take(&mut self.packs) {
            self.put("packs", key(&[], &[pack]), used.write());
        }
        self.put("meta", b"state".to_vec(), self.state.write());
        for entries in self.folded.tables.values_mut() {
            entries.sort_unstable();
        }
        self.folded
    }

    fn put(&mut self, table: &'static str, key: Vec<u8>, value: Vec<u8>) {
        self.folded
            .tables
            .entry(table)
            .or_default()
            .push((key, value));
    }

    fn change(&mut self, level: u8, row: &[u8], was: Option<&[u8]>, now: &[u8]) {
        if was != Some(now) {
            let was = was.map(<[u8]>::to_vec);
            self.folded
                .changes
                .push((level, row.to_vec(), was, now.to_vec()));
        }
    }
}

const PATIENT: u8 = 0;
const STUDY: u8 = 1;
const SERIES: u8 = 2;
const INSTANCE: u8 = 3;
const STUDIES_OF: u8 = 4;

/// Take an array of what `each` takes.
fn all<'a, T, C: FromIterator<T>>(
    from: &mut Reader<'a>,
    each: impl Fn(&mut Reader<'a>) -> Option<T>,
) -> Option<C> {
    (0..from.array()?).map(|_| each(from)).collect()
}

/// A key of the index: bytes, then numbers.
fn key(parts: &[&[u8]], ids: &[u64]) -> Vec<u8> {
    let mut key = parts.concat();
    for id in ids {
        key.extend_from_slice(&id.to_be_bytes());
    }
    key
}
