//! What there is to open, folder by folder, and the opening of one.
//!
//! **Invariant**: two files never get one name: of one file that is named twice the second is left
//! out, and of two different ones none is opened.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use super::open::{FileError, Hands};
use super::record::{self, Asked, Known};
use super::source::{Source, SourceError, out_name};
use super::{Job, Ready, Report};
use crate::http::chain;
use crate::monitor::Event;
use crate::tree::{Found, Placement, TreeError, Walked, walk};

/// How much of a file is read before somebody is told.
const TOLD_BYTES: u64 = 4 << 20;

/// How many files of one folder one thread opens.
const PART_FILES: usize = 8;

/// A part of a folder of recordings.
#[derive(Debug)]
pub(super) struct Work {
    /// Which source it belongs to.
    source: usize,
    folder: Arc<Walked>,
    /// Which of the folder's media.
    media: Range<usize>,
    /// Whether it is the last part, with which the metadata goes.
    is_last: bool,
}

/// Something that cannot be opened or looked into.
#[derive(Debug)]
pub(super) struct Trouble {
    path: String,
    reason: String,
}

impl Trouble {
    fn with(path: &Path, reason: String) -> Self {
        Self { path: path.display().to_string(), reason }
    }
}

impl From<Trouble> for Event {
    fn from(Trouble { path, reason }: Trouble) -> Self {
        Event::OpeningFailed { path, reason }
    }
}

/// Gives all work there is, in order.
pub(super) fn plan(job: &Job) -> impl Iterator<Item = Result<Work, Trouble>> {
    let folders = job.sources.iter().enumerate().flat_map(|(source, from)| {
        folders(from).map(move |folder| folder.map(|folder| (source, folder)))
    });
    folders.flat_map(move |folder| {
        let parts = match folder {
            Ok((source, folder)) => parts(source, without_rivals(job, source, folder)),
            Err(trouble) => vec![Err(trouble)],
        };
        parts.into_iter()
    })
}

/// Tells how many files there are to open, and what they weigh, unless two would get one name.
pub(super) fn count(job: &Job, stop: &AtomicBool) -> Result<Event, SourceError> {
    let (mut files, mut bytes) = (0, 0);
    for (at, source) in job.sources.iter().enumerate() {
        for folder in folders(source).filter_map(Result::ok) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            // Only a filter needs to know more than what lies there.
            if !job.filter.is_open() {
                let metadata = metadata(source, &folder).unwrap_or_default();
                if job.filter.asks_for(&folder.path, metadata.as_deref()) == Asked::No {
                    continue;
                }
            }
            let copied = folder.metadata.iter().filter(|_| !job.media_only);
            for file in folder.media.iter().chain(copied) {
                refuse_rival(job, at, &folder.path, &file.name)?;
            }
            let media = without_rivals(job, at, folder).media;
            files += media.len() as u64;
            bytes += media.iter().map(|media| media.bytes).sum::<u64>();
        }
    }
    Ok(Event::OpeningStarted { files, bytes })
}

/// Opens one part of a folder; nothing if there is nobody left to tell, or no wish to go on.
pub(super) fn open(
    work: &Work,
    job: &Job,
    hands: &mut Hands<'_>,
    report: &SyncSender<Report>,
    stop: &AtomicBool,
) -> Option<()> {
    let tell = |event| report.send(Report::Event(event)).ok();
    let source = &job.sources[work.source];
    let folder = &*work.folder;
    let metadata = match metadata(source, folder) {
        Ok(metadata) => metadata,
        Err(trouble) if work.is_last => {
            tell(trouble.into())?;
            None
        }
        Err(_) => None,
    };
    match job.filter.asks_for(&folder.path, metadata.as_deref()) {
        Asked::Yes => {}
        Asked::No => return Some(()),
        Asked::Unknown if work.is_last => {
            let path = source.on_disk(&folder.path, "");
            let text = format!(
                "`{}`: nothing says when this recording started; it is opened all the same",
                path.display()
            );
            tell(Event::Warning { text })?;
        }
        Asked::Unknown => {}
    }
    let is_there = |name: &str| folder.media.iter().any(|media| media.name == name);
    let mut known = metadata.as_ref().map(|text| record::known(text, is_there)).unwrap_or_default();
    for media in &folder.media[work.media.clone()] {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let mut known = known.remove(&media.name).unwrap_or_default();
        known.bytes = known.bytes.filter(|_| !job.any_size);
        let path = source.on_disk(&folder.path, &media.name);
        let done = open_media(&path, folder, media, &known, hands, report);
        report.send(done.unwrap_or_else(Report::Output)).ok()?;
    }
    if let (Some(text), Some(found), true) = (metadata, &folder.metadata, work.is_last)
        && !job.media_only
        && let Some(done) = copy(text.as_bytes(), folder, &found.name, hands).transpose()
    {
        report.send(done.unwrap_or_else(Report::Output)).ok()?;
    }
    Some(())
}

fn open_media(
    path: &Path,
    folder: &Walked,
    media: &Found,
    known: &Known,
    hands: &mut Hands<'_>,
    report: &SyncSender<Report>,
) -> Result<Report, TreeError> {
    let name = out_name(&media.name);
    let below = below(folder, name);
    if hands.out.held(&below)?.is_some() {
        return Ok(Report::Event(Event::FileWasOpen { path: below, bytes: media.bytes }));
    }
    let ready = |staged, bytes, read| {
        let file = Placement { staged, folder: folder.path.clone(), name: name.to_owned() };
        let event = Event::FileOpened { path: below.clone(), bytes };
        Report::Ready(Ready { file, event, bytes, read })
    };
    if media.bytes == 0 {
        let text = format!("`{}` is empty, and so is what it is opened to", path.display());
        // Who is gone is found out with the file itself.
        let _ = report.send(Report::Event(Event::Warning { text }));
        return Ok(ready(hands.out.stage()?, 0, 0));
    }
    let tell = |bytes| drop(report.send(Report::Event(Event::SealedRead { bytes })));
    let (mut told, mut read) = (0, 0);
    let opened = hands.open(path, known, &mut |bytes| {
        read += bytes;
        if read >= TOLD_BYTES {
            tell(read);
            (told, read) = (told + read, 0);
        }
    });
    match opened {
        Ok((staged, bytes)) => Ok(ready(staged, bytes, read)),
        Err(FileError::Output(error)) => Err(error),
        Err(error) => {
            tell(media.bytes.saturating_sub(told));
            Ok(Report::Event(Trouble::with(path, chain(&error)).into()))
        }
    }
}

fn copy(
    text: &[u8],
    folder: &Walked,
    name: &str,
    hands: &mut Hands<'_>,
) -> Result<Option<Report>, TreeError> {
    let path = below(folder, name);
    if hands.out.held(&path)?.is_some() {
        return Ok(None);
    }
    let mut staged = hands.out.stage()?;
    staged.write_all(text)?;
    let (folder, name) = (folder.path.clone(), name.to_owned());
    let file = Placement { staged, folder, name };
    let bytes = text.len() as u64;
    let event = Event::MetadataCopied { path };
    Ok(Some(Report::Ready(Ready { file, event, bytes, read: 0 })))
}

/// Gives the folders of a source with what is to be opened in them.
fn folders(source: &Source) -> Box<dyn Iterator<Item = Result<Walked, Trouble>> + '_> {
    match &source.file {
        Some(name) => Box::new(std::iter::once(single(source, name))),
        None => {
            let trouble = |error| Trouble::with(&source.root, chain(&error));
            Box::new(walk(&source.root, &source.below).map(move |item| item.map_err(trouble)))
        }
    }
}

/// Gives the folder of a single file as if nothing else but its metadata were there.
fn single(source: &Source, name: &str) -> Result<Walked, Trouble> {
    let path = source.on_disk(&source.below, name);
    let failed = |reason: String| Err(Trouble::with(&path, reason));
    if name.ends_with(".raw") {
        return failed("it was kept as it came, and is no envelope".to_owned());
    }
    let bytes = match fs::metadata(&path) {
        Ok(found) => found.len(),
        Err(error) => return failed(format!("cannot look at it: {error}")),
    };
    let mut folders = walk(&source.root, &source.below).filter_map(Result::ok);
    let metadata = folders.next().filter(|folder| folder.path == source.below);
    Ok(Walked {
        path: source.below.clone(),
        metadata: metadata.and_then(|folder| folder.metadata),
        media: vec![Found { name: name.to_owned(), bytes }],
        ..Walked::default()
    })
}

fn parts(source: usize, folder: Walked) -> Vec<Result<Work, Trouble>> {
    let folder = Arc::new(folder);
    let files = folder.media.len();
    let starts = (0..files.max(1)).step_by(PART_FILES);
    let part = |start: usize| {
        let end = files.min(start + PART_FILES);
        let is_last = end == files;
        Ok(Work { source, folder: Arc::clone(&folder), media: start..end, is_last })
    };
    starts.map(part).collect()
}

/// Leaves out what an earlier source opens to the same place.
fn without_rivals(job: &Job, at: usize, mut folder: Walked) -> Walked {
    let Walked { path, media, metadata, .. } = &mut folder;
    let is_alone = |file: &Found| rival(job, at, path, &file.name).is_none();
    media.retain(is_alone);
    *metadata = metadata.take().filter(is_alone);
    folder
}

fn refuse_rival(job: &Job, at: usize, folder: &str, name: &str) -> Result<(), SourceError> {
    let second = job.sources[at].on_disk(folder, name);
    match rival(job, at, folder, name) {
        Some(first) if first != second => {
            let name = format!("{folder}/{}", out_name(name)).trim_start_matches('/').to_owned();
            Err(SourceError::SameName { first, second, name })
        }
        _ => Ok(()),
    }
}

fn rival(job: &Job, at: usize, folder: &str, name: &str) -> Option<std::path::PathBuf> {
    job.sources[..at].iter().find_map(|earlier| earlier.rival(folder, out_name(name)))
}

/// Reads the metadata beside media, if there are any.
fn metadata(source: &Source, folder: &Walked) -> Result<Option<String>, Trouble> {
    let Some(found) = &folder.metadata else { return Ok(None) };
    let path = source.on_disk(&folder.path, &found.name);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) => Err(Trouble::with(&path, format!("cannot read it: {error}"))),
    }
}

fn below(folder: &Walked, name: &str) -> String {
    let path = &folder.path;
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}
