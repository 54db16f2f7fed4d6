//! What rates and timetables are read as, and what is said of those that are none.

use super::*;

/// The rate on a day, 0 being Monday, as it would be typed.
fn rate(table: &Timetable, day: i64, time: &str) -> String {
    let (rate, _) = table.at(monday(time) + TimeDelta::days(day));
    rate.map_or_else(|| "off".to_owned(), |rate| rate.to_string())
}

#[test]
fn a_rate_is_in_units_of_1024_bytes_a_second() {
    for (text, bytes, shown) in [
        ("20M", 20_971_520, "20M"),
        ("1K", 1_024, "1K"),
        ("500k", 512_000, "500K"),
        ("1.5M", 1_572_864, "1.5M"),
        ("0.5M", 524_288, "512K"),
        ("1000G", 1_073_741_824_000, "1000G"),
        ("2g", 2_147_483_648, "2G"),
        (" 10.25M ", 10_747_904, "10.25M"),
    ] {
        let table = table(text);
        let rate = table.only_rate().expect(text);
        assert_eq!((rate.bytes_a_second(), rate.to_string().as_str()), (bytes, shown), "{text}");
    }
}

#[test]
fn off_is_no_limit_in_any_form() {
    for text in ["off", "Off", "OFF", "08:00,off", "08:00,off 19:00,off", "Mon-08:00,off"] {
        assert_eq!(Timetable::parse(text), Ok(None), "{text}");
    }
}

#[test]
fn before_the_first_entry_of_the_day_the_last_one_counts() {
    let table = table("08:00,5M 19:00,off");
    assert_eq!(table.only_rate(), None);
    for (time, expected) in [
        ("00:00:00", "off"),
        ("07:59:59.999", "off"),
        ("08:00:00", "5M"),
        ("18:59:59", "5M"),
        ("19:00:00", "off"),
        ("23:59:59", "off"),
    ] {
        for day in 0..7 {
            assert_eq!(rate(&table, day, time), expected, "day {day}, {time}");
        }
    }
}

#[test]
fn an_entry_counts_until_the_next_one() {
    for (text, day, time, seconds) in [
        ("08:00,5M 19:00,off", 0, "07:59:30", 30.0),
        ("08:00,5M 19:00,off", 0, "08:00:00", 39_600.0),
        ("08:00,5M 19:00,off", 6, "23:00:00.25", 9.0 * 3_600.0 - 0.25),
        ("Mon-08:00,5M Fri-19:00,off", 4, "19:00:00", (2.0 * 24.0 + 13.0) * 3_600.0),
        ("Wed-08:00,5M Thu-08:00,1M", 2, "07:00:00", 3_600.0),
    ] {
        let (_, lasts) = table(text).at(monday(time) + TimeDelta::days(day));
        assert_eq!(lasts.as_secs_f64(), seconds, "{text}");
    }
}

#[test]
fn entries_of_days_count_on_those_and_before_those_of_every_day() {
    for text in [
        "Mon-Fri-08:00,5M 19:00,off",
        "mon-friday-08:00,5M;19:00,off",
        "08:00,5M 19:00,off Sat-Sun-08:00,off",
        "Sat-Sun-08:00,off 19:00,off\t08:00,5M",
    ] {
        let table = table(text);
        for day in 0..7 {
            let expected = if day < 5 { "5M" } else { "off" };
            assert_eq!(rate(&table, day, "08:00:00"), expected, "{text}, day {day}");
            assert_eq!(rate(&table, day, "19:00:00"), "off", "{text}, day {day}");
            assert_eq!(rate(&table, day, "07:59:59"), "off", "{text}, day {day}");
        }
    }
    // Over the end of the week.
    let table = table("Fri-Mon-08:00,1M Tue-08:00,2M");
    let rates: Vec<_> = (0..7).map(|day| rate(&table, day, "12:00:00")).collect();
    assert_eq!(rates, ["1M", "2M", "2M", "2M", "1M", "1M", "1M"]);
    assert_eq!(rate(&table, 0, "07:00:00"), "1M");
}

#[test]
fn a_table_of_one_rate_needs_no_clock() {
    for text in ["5M", "08:00,5M", "08:00,5M 19:00,5M", "Tue-08:00,5M Fri-19:00,5120K"] {
        assert!(table(text).only_rate().is_some(), "{text}");
    }
    assert_eq!(table("08:00,5M 19:00,6M").only_rate(), None);
    assert_eq!(table("08:00,off 19:00,6M").only_rate(), None);
}

#[test]
fn a_bad_bandwidth_is_told_with_what_would_be_right() {
    const SUCH: &str = "write bytes a second, such as `20M`, `1.5M` or `500K`, or `off`";
    const TABLE: &str = "write such as `08:00,5M 19:00,off` or `Mon-Fri-08:00,5M 19:00,off`";
    const BITS: &str = "bits, and it is bytes that are counted";
    const UNIT: &str = "a unit that is not known";
    const RANGE: &str = "not from `1K` to `1000G`, bytes a second";
    const ZERO: &str = "write `off` for no limit, and stop the run for no media";
    for (text, what, hint) in [
        ("", "no rate", SUCH),
        ("fast", "no rate", SUCH),
        ("-5M", "no rate", SUCH),
        ("1.2.3M", "no rate", SUCH),
        (".5M", "no rate", SUCH),
        ("5.M", "no rate", SUCH),
        ("0", "not above 0", ZERO),
        ("0.0M", "not above 0", ZERO),
        ("20", "a number without a unit", "write `20K`, `20M` or `20G`: bytes a second"),
        (
            "1000000",
            "a number without a unit",
            "write `1000000K`, `1000000M` or `1000000G`: bytes a second",
        ),
        ("0.5K", RANGE, SUCH),
        ("1001G", RANGE, SUCH),
        ("9999999999999999999999G", RANGE, SUCH),
        ("20Mbit", BITS, "write `2.38M`, which is as much"),
        ("100Mbit/s", BITS, "write `11.92M`, which is as much"),
        ("1Gbps", BITS, "write `119.2M`, which is as much"),
        ("800kb", BITS, "write `97.65K`, which is as much"),
        ("20MB", UNIT, "write `20M`"),
        ("20MiB/s", UNIT, "write `20M`"),
        ("20 M", UNIT, "write `20M`"),
        ("1.5m/s", UNIT, "write `1.5M`"),
        ("20T", UNIT, SUCH),
        ("20B", UNIT, SUCH),
        ("20Ü", UNIT, SUCH),
        ("1e3K", UNIT, SUCH),
        ("infinity", "no rate", SUCH),
        ("NaN", "no rate", SUCH),
        (",", "no time of the day from 00:00 to 23:59 in `,`", TABLE),
        ("08:00", "no time and rate with `,` between in `08:00`", TABLE),
        ("08:00,5M 10M", "no time and rate with `,` between in `10M`", TABLE),
        ("08:00, 5M", "no rate in `08:00,`", SUCH),
        (
            "08:00,20 19:00,off",
            "a number without a unit in `08:00,20`",
            "write `20K`, `20M` or `20G`: bytes a second",
        ),
        (
            "08:00,20Mbit 19:00,off",
            "bits, and it is bytes that are counted in `08:00,20Mbit`",
            "write `2.38M`, which is as much",
        ),
        ("8:00,5M", "no time of the day from 00:00 to 23:59 in `8:00,5M`", TABLE),
        ("24:00,5M", "no time of the day from 00:00 to 23:59 in `24:00,5M`", TABLE),
        ("08:60,5M", "no time of the day from 00:00 to 23:59 in `08:60,5M`", TABLE),
        ("+8:00,5M", "no time of the day from 00:00 to 23:59 in `+8:00,5M`", TABLE),
        ("Day-08:00,5M", "no day of the week in `Day-08:00,5M`", TABLE),
        ("Mon-Tue-Wed-08:00,5M", "no day of the week in `Mon-Tue-Wed-08:00,5M`", TABLE),
        ("08:00,5M 08:00,off", "a time that stands twice in `08:00,off`", TABLE),
        ("Mon-08:00,5M Sun-Tue-08:00,1M", "a time that stands twice in `Sun-Tue-08:00,1M`", TABLE),
        (";,;", "no time of the day from 00:00 to 23:59 in `,`", TABLE),
        ("; :;", "no time and rate with `,` between in `:`", TABLE),
    ] {
        let error = Timetable::parse(text).expect_err(text);
        assert_eq!((error.to_string().as_str(), error.hint.as_str()), (what, hint), "{text}");
    }
}
