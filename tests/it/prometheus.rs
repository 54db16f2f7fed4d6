//! The text format of Prometheus, read strictly.

use std::collections::{BTreeMap, BTreeSet};

/// Values by their name with its labels, as in `files{result="failed"}`; labels in their order.
pub(crate) type Metrics = BTreeMap<String, f64>;

/// Reads a whole file; whatever a scraper could stumble over is refused.
pub(crate) fn parse(text: &str) -> Result<Metrics, String> {
    let Some(text) = text.strip_suffix('\n') else { return Err("no line end at the end".into()) };
    let (mut metrics, mut begun) = (Metrics::new(), BTreeSet::new());
    let (mut helped, mut current) = (None, String::new());
    for line in text.split('\n') {
        let wrong = |what: &str| Err(format!("{what}: {line}"));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let Some((name, help)) = rest.split_once(' ') else { return wrong("no help") };
            if help.trim().is_empty() || help.contains('\\') {
                return wrong("help");
            }
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = rest.split_once(' ') else { return wrong("no type") };
            if helped.take().as_deref() != Some(name) || !begun.insert(name.to_owned()) {
                return wrong("not behind its help, or twice");
            }
            let is_total = name.ends_with("_total");
            if !is_name(name)
                || is_total != (kind == "counter")
                || !["counter", "gauge"].contains(&kind)
            {
                return wrong("type");
            }
            current = name.to_owned();
        } else {
            let Some((name, value)) = line.rsplit_once(' ') else { return wrong("no value") };
            let (metric, labels) = name.split_once('{').unwrap_or((name, "}"));
            if metric != current || helped.is_some() {
                return wrong("not behind its type");
            }
            let Some(labels) = labels.strip_suffix('}') else { return wrong("labels") };
            let mut seen = BTreeSet::new();
            for label in labels.split(',').filter(|_| !labels.is_empty()) {
                let quoted = label.split_once("=\"").and_then(|(name, rest)| {
                    let value = rest.strip_suffix('"')?;
                    (!value.contains(['"', '\\', '{', '}'])).then_some(name)
                });
                if !quoted.is_some_and(|name| is_name(name) && seen.insert(name)) {
                    return wrong("label");
                }
            }
            let Some(value) = value.parse().ok().filter(|value: &f64| value.is_finite()) else {
                return wrong("value");
            };
            if metrics.insert(name.to_owned(), value).is_some() {
                return wrong("twice");
            }
        }
    }
    match helped {
        Some(name) => Err(format!("{name} has a help and nothing else")),
        None => Ok(metrics),
    }
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits)
}

#[test]
fn what_a_scraper_stumbles_over_is_refused() {
    let good = "# HELP a_b Help.\n# TYPE a_b gauge\na_b{c=\"d\",e=\"f\"} 1.5\na_b 2\n";
    assert_eq!(parse(good).unwrap().len(), 2);
    for (from, to) in [
        ("a_b 2\n", "a_b 2"),
        ("# HELP a_b Help.\n", ""),
        ("# TYPE a_b gauge\n", ""),
        ("# TYPE a_b gauge\n", "# TYPE a_b gauge\n# HELP a_b x\n# TYPE a_b gauge\n"),
        ("gauge", "counter"),
        ("gauge", "number"),
        ("a_b 2", "b 2"),
        ("a_b 2", "a_b 2 #"),
        ("a_b 2", "a_b NaN"),
        ("a_b 2", "a_b{c=\"d\",e=\"f\"} 3"),
        ("e=\"f\"", "c=\"f\""),
        ("e=\"f\"", "e=f"),
        ("e=\"f\"", "e=\"\"f\""),
        ("\"} 1", "\" 1"),
    ] {
        assert!(good.contains(from), "{from}");
        assert!(parse(&good.replacen(from, to, 1)).is_err(), "{from} as {to}");
    }
}
