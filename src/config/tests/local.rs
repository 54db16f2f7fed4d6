//! The part of the configuration that is about this machine.

use super::*;

fn local(given: &Given<'_>, has_file: bool) -> Result<Local, String> {
    let env: BTreeMap<_, _> = given.env.iter().copied().collect();
    let set = given.set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let layers = Layers {
        from: given.range[0].map(str::to_owned),
        to: given.range[1].map(str::to_owned),
        bandwidth: given.bandwidth.map(str::to_owned),
        set: set.collect(),
        file: has_file.then(|| ("config.properties".into(), given.file.as_bytes().to_vec())),
        settings: Vec::new(),
        env: &|name| env.get(name).map(Into::into),
        current_dir: "/srv/rcbs".into(),
        now: now(),
    };
    match Local::load(&layers) {
        Ok((local, _)) => Ok(local),
        Err(errors) => Err(ConfigErrors { warnings: vec![], ..errors }.to_string()),
    }
}

#[test]
fn no_login_no_service_and_no_window_is_asked_for() {
    let file = "maxAge=1\nminAge=7\ntargetDir=rec\nfolderMode=0700\nminDate=yesterday";
    let local = local(&Given { file, ..NOTHING }, true).unwrap();
    assert_eq!(local.target_dir, Some("/srv/rcbs/rec".into()));
    assert_eq!(local.state_dir, local.target_dir);
    assert_eq!((local.file_mode, local.folder_mode), (0o640, 0o700));
    assert_eq!((local.from, local.to, local.key_passphrase), (None, None, None));
}

#[test]
fn without_a_file_the_default_target_does_not_count() {
    let set: &[_] = &[("targetDir", "rec")];
    for (set, has_file, target) in [
        (&[][..], false, None),
        (&[], true, Some("/srv/rcbs/target")),
        (set, false, Some("/srv/rcbs/rec")),
    ] {
        let local = local(&Given { set, ..NOTHING }, has_file).unwrap();
        assert_eq!(local.target_dir, target.map(PathBuf::from), "{set:?} {has_file}");
    }
}

#[test]
fn edges_count_as_typed_and_are_checked_as_for_a_backup() {
    let file = "minDate=2018-01-01\nmaxDate=2018-01-05";
    let range = [Some("2018-01-02"), None];
    let typed = local(&Given { file, range, ..NOTHING }, true).unwrap();
    assert_eq!((typed.from, typed.to), (Some(at("2018-01-02")), None));
    for (range, expected) in [
        (
            [Some("soon"), None],
            "error: --from: not a date (`YYYY-MM-DD`), 13-digit epoch milliseconds or an RFC 3339 \
             time: `soon`\nhint: write such as `2018-01-02` or `1514851200000`",
        ),
        (
            [Some("2018-01-02"), Some("2018-01-02")],
            "error: --to: the same as `--from`, and itself not in the window: `2018-01-02`\n\
             hint: for the whole of that day write `--to 2018-01-03`",
        ),
    ] {
        assert_eq!(local(&Given { range, ..NOTHING }, true), Err(expected.to_owned()));
    }
}

#[test]
fn the_passphrase_comes_from_the_environment() {
    let env: &[_] = &[("RCBS_KEY_PASSPHRASE", "open sesame")];
    let local = local(&Given { env, ..NOTHING }, false).unwrap();
    assert_eq!(local.key_passphrase.unwrap().expose(), "open sesame");
}
