use proptest::prelude::*;

use super::*;

/// Text with everything in it that a grammar may trip over.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9=/.+-]{1,12}",
        "[ -~]{0,20}",
        Just("\"\\;#\n\t=\u{e9}".to_owned()),
        any::<String>().prop_map(|text| text.chars().take(12).collect()),
    ]
}

fn answers() -> impl Strategy<Value = Action> {
    let headers = prop::collection::vec(
        prop_oneof![
            ("[A-Za-z-]{1,8}", texts()),
            Just(("Retry-After".to_owned(), "7".to_owned())),
            Just(("Retry-After".to_owned(), "soon".to_owned())),
            Just(("Content-Type".to_owned(), "application/json".to_owned())),
        ],
        0..3,
    );
    prop_oneof![
        any::<u16>().prop_map(Action::status),
        (any::<u16>(), any::<u64>()).prop_map(|(status, wait)| Action::retry_after(status, wait)),
        (any::<u16>(), any::<i64>()).prop_map(|(status, code)| Action::gws_code(status, code)),
        (any::<u16>(), texts()).prop_map(|(status, code)| Action::s3_error(status, &code)),
        (any::<u16>(), texts()).prop_map(|(status, body)| Action::json(status, &body)),
        Just(Action::html()),
        (any::<u16>(), headers, texts()).prop_map(|(status, headers, body)| Action::Answer {
            status,
            headers,
            body
        }),
    ]
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => answers(),
        1 => (0u64..9_999).prop_map(|ms| Action::Delay(Duration::from_millis(ms))),
        1 => any::<u64>().prop_map(Action::Truncate),
        1 => any::<u64>().prop_map(Action::ResetAfter),
        1 => any::<i64>().prop_map(Action::WrongLength),
        1 => texts().prop_map(Action::WrongETag),
        1 => any::<u64>().prop_map(Action::Corrupt),
        1 => any::<u64>().prop_map(Action::Trickle),
        1 => any::<u64>().prop_map(Action::DropRows),
        1 => any::<u64>().prop_map(Action::RepeatRows),
        1 => any::<u64>().prop_map(Action::StaleRows),
        1 => any::<u64>().prop_map(Action::GzipBomb),
        1 => ("[a-z-]{1,9}", texts()).prop_map(|(name, value)| Action::SetHeader { name, value }),
        4 => prop::sample::select(vec![
            Action::Reset,
            Action::Close,
            Action::EmptyPage,
            Action::RepeatedPage,
            Action::Reorder,
            Action::ReorderAll,
            Action::Replaced,
            Action::Expired,
            Action::Endless,
        ]),
    ]
}

fn faults() -> impl Strategy<Value = Fault> {
    let hits = prop_oneof![
        any::<u64>().prop_map(Hits::Nth),
        any::<u64>().prop_map(Hits::First),
        any::<u64>().prop_map(Hits::From),
        (1..u64::MAX).prop_map(Hits::Every),
        Just(Hits::Always),
    ];
    let route = prop::sample::select(ROUTES.map(|(_, route)| route).to_vec());
    (route, texts(), hits, actions(), any::<bool>()).prop_map(
        |(route, contains, hits, action, optional)| Fault {
            route,
            contains,
            hits,
            action,
            optional,
        },
    )
}

proptest! {
    #[test]
    fn every_plan_is_read_as_it_was_written(faults in prop::collection::vec(faults(), 0..4)) {
        let plan = FaultPlan { faults };
        let text = plan.to_string();
        prop_assert!(!text.contains('\n'), "one line: {text}");
        prop_assert_eq!(text.parse::<FaultPlan>(), Ok(plan), "{}", text);
    }
}

#[test]
fn what_people_write_is_understood() {
    let plan: FaultPlan = "
        # the first answers
        s3 nth=3 reset; listing from=2 status=503 retry-after=1
        s3 first=2 containing=\"a b\" truncate=100   # behind the blank
        any every=7 optional expired
        listing gws-code=4
        s3 s3-error=SlowDown status=503
        settings json=\"{}\"
    "
    .parse()
    .unwrap();
    let expected = [
        Fault::on(Route::S3, Action::Reset).hits(Hits::Nth(3)),
        Fault::on(Route::Listing, Action::retry_after(503, 1)).hits(Hits::From(2)),
        Fault::on(Route::S3, Action::Truncate(100)).hits(Hits::First(2)).containing("a b"),
        Fault { route: None, ..Fault::on(Route::S3, Action::Expired) }
            .hits(Hits::Every(7))
            .optional(),
        Fault::on(Route::Listing, Action::gws_code(200, 4)),
        Fault::on(Route::S3, Action::s3_error(503, "SlowDown")),
        Fault::on(Route::Settings, Action::json(200, "{}")),
    ];
    assert_eq!(plan.faults, expected);
    let text = "s3 nth=3 reset; listing from=2 status=503 retry-after=1; \
                s3 containing=\"a b\" first=2 truncate=100; any every=7 optional expired; \
                listing gws-code=4 status=200; s3 s3-error=SlowDown status=503; \
                settings json={} status=200";
    assert_eq!(plan.to_string(), text);
}

#[test]
fn what_is_no_plan_is_told_by_the_word_that_is_wrong() {
    for (text, why) in [
        ("s4 reset", "`s4` is none of any, listing, settings, media, other, s3"),
        ("s3", "a fault without an action"),
        ("s3 reset close", "`close` is one too many"),
        ("s3 reset status=500", "a fault with two actions"),
        ("s3 truncate", "`truncate` lacks `=` and a value"),
        ("s3 truncate=-1", "`truncate=-1` is no number"),
        ("s3 reset=1", "`reset` takes no value"),
        ("s3 nth=1 first=2 reset", "`first` is one too many"),
        ("s3 every=0 reset", "`every=0` would be none"),
        ("s3 set-header=a", "`set-header=a` is no `name: value`"),
        ("s3 explode", "`explode` is not understood"),
        ("s3 containing=\"a reset", "what `containing` is, does not end, or is no JSON string"),
    ] {
        assert_eq!(text.parse::<FaultPlan>(), Err(NoPlan(why.to_owned())), "{text}");
    }
    assert!("s3 reset; s3 close".parse::<Fault>().is_err());
}
