//! A whole backup, again, and in shares.

use crate::harness::{Site, now_ms};

#[test]
fn a_backup_holds_every_recording_and_a_rerun_opens_no_media() {
    let site = Site::of(200);
    let first = site.rcbs(&[]);
    first.exits(0).says("in 3 shards");
    let [downloaded, skipped, failed, total] = first.counts();
    assert_eq!((skipped, failed), (0, 0), "{first}");
    assert_eq!(downloaded, total, "{first}");
    site.assert_holds(|_| true);

    site.sim.clear_requests();
    let second = site.rcbs(&[]);
    second.exits(0);
    assert_eq!(second.counts()[0], 0, "{second}");
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
    assert!(site.watermark().unwrap() <= now_ms());
}
