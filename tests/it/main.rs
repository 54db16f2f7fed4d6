//! The program as its operator meets it: the built binary against the recording cloud in a box,
//! over real HTTP and signed S3 requests.

#![expect(clippy::disallowed_methods, reason = "tests write configurations and damage trees")]
#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod harness;

// A whole backup, again, and in shares; what is left out.
mod backup;
// One media file that cannot be had.
mod failing;
// The metadata files, and records that change between runs.
mod metadata;
// How media come: in parts, summed up, from several regions and over plain HTTP.
mod media;
// Limits of the media's bytes a second.
mod bandwidth;
// What recordings are wrapped in: joined, sealed, or kept beside what is held.
mod envelopes;
// Ids that spell paths, devices and each other.
mod hostile;
// What a run covers, and where the watermark goes.
mod windows;
// The older and newer edges of the window, typed and found.
mod ranges;
// Stopping in the middle.
mod signals;
// What is remembered from run to run.
mod ledger;
// Whatever the metadata API does with its pages.
mod listing;
// How many requests are under way at the same time.
mod inflight;
// Whatever the metadata API answers.
mod answers;
// Services and disks that fail a run as a whole.
mod failures;
// The order of what reaches the disk, and runs that end inside it.
#[cfg(target_os = "linux")]
mod crash;
// Targets that go away in the middle of a run, or that others want.
#[cfg(target_os = "linux")]
mod away;
// Disks that fail.
#[cfg(target_os = "linux")]
mod disk;
// File systems that are mounted for a test.
mod mounted;
// What must hold of a target whenever a run has ended.
#[cfg(target_os = "linux")]
mod sound;
// The system calls of a run: written down, or made to fail.
#[cfg(target_os = "linux")]
mod strace;
// Bad days: what expires, jumps, or does not end.
#[cfg(target_os = "linux")]
mod trouble;
// `--verify s3`.
mod verify;
// Proxies and their logins.
mod proxies;
// Opening what is held.
mod decrypt;
// Reading again what is held.
mod check;
// Making the ledger again.
mod rebuild;
// `rcbs keys`.
mod keys;
// Texts that must be seen nowhere.
mod canary;
// Passwords, keys, tokens and passphrases.
mod secrets;
// Numbers, names and attached data.
mod people;
// Permissions, links, other origins, certificates.
#[cfg(unix)]
mod guards;
// `rcbs audit`.
mod audit;
// `rcbs accept`.
mod accept;
// `rcbs estimate`.
mod estimate;
// Metrics, pings, the log, and the end of the retention.
mod alarms;
mod prometheus;
mod watcher;
// `rcbs schedule`, and docs/schedule.md.
mod schedule;
mod xml;
// Several instances: their numbers, their window, one target.
mod fleet;
// `--json` and `--log-format json`, held against docs/schema.
mod schemas;
// docs/audit.md and docs/ledger.md.
mod documents;
// The pages of docs, as a reader finds them.
mod pages;
// README, and docs/{install,keys,recovery,from-java,fleet,proxies}.md, typed from beginning to end.
#[cfg(target_os = "linux")]
mod guides;
// Any world, any faults, any kill point: the five invariants.
mod model;
// What is typed and what is printed.
mod cli;
// `--help`, `rcbs help`, the man page and completions.
mod help;
// What holds of the text of the project.
mod tidy;
