//! Names of files and folders, made from ids that a server chose.
//!
//! Is given ids, which may be empty, 4 kB long, or spell a path; gives names that every file
//! system takes and that tell any two ids apart.
//!
//! **Invariant**: `~` stands in a name only where this module or the tree has put it, and `%`
//! only before two hex digits; so a name made from one id is never the name of another.

use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::xxh3_64;

/// The longest escaped name that is kept whole, in bytes.
const LONGEST: usize = 180;
/// What is kept of a longer one, in bytes, before the hash.
const KEPT: usize = 120;
/// The name of the empty id; no other id gives it, as `~` is escaped.
const EMPTY: &str = "~empty";

/// Gives the name of the folder of a recording.
pub fn safe_name(id: &str) -> String {
    if id.is_empty() {
        return EMPTY.to_owned();
    }
    let name = escape(id);
    if name.len() > LONGEST { hashed(id, id, "") } else { name }
}

/// Gives the name of the folder of a recording whose [`safe_name`] another recording has,
/// case ignored.
pub fn hashed_name(id: &str) -> String {
    hashed(id, id, "")
}

/// Gives the name of the file with the metadata of a recording.
pub fn metadata_name(id: &str) -> String {
    format!("{}_metadata.json", safe_name(id))
}

/// Gives the name of what came in the place of a media file and is no envelope. No media file has
/// such a name, as theirs end in `.bin`.
pub fn raw_name(media_name: &str) -> String {
    format!("{media_name}.raw")
}

/// Gives the names of the media files of one recording, from each one's mediaId and type.
///
/// Where two would be equal, case ignored, the later in the list gets a hash; but one whose name
/// with the hash `is_there` already keeps that, so that what comes later takes no name away. Names
/// that are `taken` by other media files of the recording are none of theirs.
pub fn media_names<E>(
    media: &[(&str, Option<&str>)],
    taken: &[&str],
    is_there: impl Fn(&str) -> Result<bool, E>,
) -> Result<Vec<String>, E> {
    let named: Vec<MediaName> = media.iter().map(|(id, kind)| MediaName::of(id, *kind)).collect();
    let mut sharing: HashMap<String, u32> = HashMap::new();
    for name in &named {
        *sharing.entry(fold(&name.plain)).or_default() += 1;
    }
    let mut names: Vec<Option<String>> = vec![None; named.len()];
    let mut taken: HashSet<_> = taken.iter().map(|name| fold(name)).collect();
    for (name, place) in named.iter().zip(&mut names) {
        let shares = sharing[&fold(&name.plain)] > 1 || taken.contains(&fold(&name.plain));
        if shares && is_there(&name.hashed)? && taken.insert(fold(&name.hashed)) {
            *place = Some(name.hashed.clone());
        }
    }
    let mut free = |name: &MediaName| {
        (0..).map(|copy| name.copy(copy)).find(|name| taken.insert(fold(name))).unwrap_or_default()
    };
    Ok(named.iter().zip(names).map(|(name, place)| place.unwrap_or_else(|| free(name))).collect())
}

/// The names that a media file may get.
struct MediaName {
    plain: String,
    hashed: String,
    extension: String,
}

impl MediaName {
    fn of(id: &str, kind: Option<&str>) -> Self {
        let text = media_text(id, kind);
        let (stem, extension) = split_extension(&text);
        let hashed = hashed(id, stem, extension);
        let whole = escape(&text);
        let plain = if whole.len() > LONGEST { hashed.clone() } else { whole };
        Self { plain, hashed, extension: extension.to_owned() }
    }

    /// Gives the name to try next. Only an id that is listed more than twice comes past the second.
    fn copy(&self, copy: u32) -> String {
        match copy {
            0 => self.plain.clone(),
            1 => self.hashed.clone(),
            _ => {
                let stem = &self.hashed[..self.hashed.len() - self.extension.len()];
                format!("{stem}~{copy}{}", self.extension)
            }
        }
    }
}

/// Gives what names that a file system may take for equal have in common.
pub fn fold(name: &str) -> String {
    // Upwards first: some letters only meet there (`ſ` and `s`), others only below (`K` and `k`).
    name.to_uppercase().to_lowercase()
}

/// Tells whether some file system forbids a character in names.
pub(super) fn is_forbidden(c: char) -> bool {
    c.is_control() || r#"/\:*?"<>|"#.contains(c)
}

/// Tells whether Windows takes a name for a device, with or without an extension.
pub(super) fn is_device(name: &str) -> bool {
    let base = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_uppercase();
    let numbered = base.strip_prefix("COM").or_else(|| base.strip_prefix("LPT"));
    match numbered {
        Some(number) => {
            number.chars().count() == 1
                && number.starts_with(|c: char| c.is_ascii_digit() || "¹²³".contains(c))
        }
        None => ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&base.as_str()),
    }
}

fn media_text(id: &str, kind: Option<&str>) -> String {
    if ends_with(id, ".bin") {
        return id.to_owned();
    }
    let extension = kind.and_then(extension_of).filter(|extension| !ends_with(id, extension));
    format!("{id}{}.bin", extension.unwrap_or_default())
}

fn extension_of(kind: &str) -> Option<&'static str> {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "audio/mp3" | "audio/mpeg" => Some(".mp3"),
        "video/mp4" | "audio/mp4" => Some(".mp4"),
        _ => None,
    }
}

/// Splits off `.bin`, and the `.mp3` or `.mp4` before it.
fn split_extension(text: &str) -> (&str, &str) {
    let mut stem = text.len() - ".bin".len();
    let rest = &text[..stem];
    if ends_with(rest, ".mp3") || ends_with(rest, ".mp4") {
        stem -= ".mp3".len();
    }
    text.split_at(stem)
}

fn ends_with(text: &str, extension: &str) -> bool {
    let split = text.len().checked_sub(extension.len());
    split.and_then(|split| text.get(split..)).is_some_and(|end| end.eq_ignore_ascii_case(extension))
}

fn hashed(id: &str, stem: &str, extension: &str) -> String {
    let tag = format!("~{:016x}{extension}", xxh3_64(id.as_bytes()));
    let stem = escape(stem);
    let kept = if stem.len() + tag.len() > LONGEST { cut(&stem) } else { &stem };
    format!("{kept}{tag}")
}

/// Gives the first bytes of an escaped name, without half a character or half an escape.
fn cut(escaped: &str) -> &str {
    let mut end = escaped.floor_char_boundary(KEPT);
    if let Some(start) = escaped[..end].rfind('%').filter(|start| start + 3 > end) {
        end = start;
    }
    &escaped[..end]
}

fn escape(text: &str) -> String {
    let is_device = is_device(text);
    let mut name = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let is_first = at == 0;
        let is_last = at + c.len_utf8() == text.len();
        if is_forbidden(c)
            || matches!(c, '%' | '~')
            || is_first && (c == '.' || is_device)
            || is_last && matches!(c, '.' | ' ')
        {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                name.push_str(&format!("%{byte:02X}"));
            }
        } else {
            name.push(c);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_become_names_that_every_system_takes() {
        for (id, expected) in [
            ("01F62DGIBGD8369P7GC362LAES00000G", "01F62DGIBGD8369P7GC362LAES00000G"),
            ("../../x", "%2E.%2F..%2Fx"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            (".rcbs", "%2Ercbs"),
            ("a/b\\c", "a%2Fb%5Cc"),
            ("a.b", "a.b"),
            ("a...", "a..%2E"),
            ("a ", "a%20"),
            (" a", " a"),
            ("%2e", "%252e"),
            ("a~2", "a%7E2"),
            ("CON", "%43ON"),
            ("con.txt", "%63on.txt"),
            ("Nul .x", "%4Eul .x"),
            ("COM1", "%43OM1"),
            ("LPT²", "%4CPT²"),
            ("COM10", "COM10"),
            ("CONTACT", "CONTACT"),
            ("a\0\n\u{85}", "a%00%0A%C2%85"),
            ("a:*?\"<>|", "a%3A%2A%3F%22%3C%3E%7C"),
            ("ünï", "ünï"),
            ("", "~empty"),
        ] {
            assert_eq!(safe_name(id), expected, "{id:?}");
        }
    }

    #[test]
    fn long_ids_are_cut_between_characters_and_get_their_hash() {
        let long = "x".repeat(181);
        assert_eq!(safe_name(&long[..180]), long[..180]);
        let hash = format!("~{:016x}", xxh3_64(long.as_bytes()));
        assert_eq!(safe_name(&long), format!("{}{hash}", &long[..120]));
        // 59 times `/`, then `ü`: the 120th byte is inside the character.
        for (id, kept) in [
            ("ü".repeat(4000), "ü".repeat(60)),
            (format!("a{}", "ü".repeat(4000)), format!("a{}", "ü".repeat(59))),
            ("/".repeat(4000), "%2F".repeat(40)),
            (format!("a{}", "/".repeat(4000)), format!("a{}", "%2F".repeat(39))),
            (format!("aa{}", "/".repeat(4000)), format!("aa{}", "%2F".repeat(39))),
        ] {
            let hash = format!("~{:016x}", xxh3_64(id.as_bytes()));
            assert_eq!(safe_name(&id), format!("{kept}{hash}"));
        }
    }

    #[test]
    fn media_get_the_extension_of_their_type_and_then_bin() {
        let long = format!("{}.mp4", "y".repeat(300));
        let cut = format!("{}~{:016x}.mp4.bin", "y".repeat(120), xxh3_64(long.as_bytes()));
        for (id, kind, expected) in [
            ("a.mp3.bin", Some("video/mp4"), "a.mp3.bin"),
            ("a.BIN", None, "a.BIN"),
            ("a.mp3", Some("audio/mp3"), "a.mp3.bin"),
            ("a", Some("Audio/MP3; rate=8000"), "a.mp3.bin"),
            ("a", Some("audio/mpeg"), "a.mp3.bin"),
            ("a+b/c", Some("video/mp4"), "a+b%2Fc.mp4.bin"),
            ("a.mp3", Some("video/mp4"), "a.mp3.mp4.bin"),
            ("a", Some("text/plain"), "a.bin"),
            ("a", None, "a.bin"),
            ("", None, "%2Ebin"),
            ("a.", None, "a..bin"),
            ("nul", Some("audio/mp3"), "%6Eul.mp3.bin"),
            (&long, Some("video/mp4"), &cut),
        ] {
            assert_eq!(media_names(&[(id, kind)]), [expected], "{id:?} {kind:?}");
        }
    }

    /// The names in a folder where nothing is yet.
    fn media_names(media: &[(&str, Option<&str>)]) -> Vec<String> {
        super::media_names(media, &[], |_| Ok::<_, std::convert::Infallible>(false)).unwrap()
    }

    #[test]
    fn media_that_come_later_take_no_name_away() {
        let mp3 = Some("audio/mp3");
        let mut there = HashSet::new();
        let mut came: Vec<&str> = Vec::new();
        for id in ["X.mp3", "x", "X", "X.mp3.bin"] {
            let before: HashSet<String> = there.clone();
            came.push(id);
            let list: Vec<_> = came.iter().map(|id| (*id, mp3)).collect();
            let is_there = |name: &str| Ok::<_, std::convert::Infallible>(there.contains(name));
            let names: HashSet<String> =
                super::media_names(&list, &[], is_there).unwrap().into_iter().collect();
            assert_eq!(names.len(), came.len());
            assert!(names.is_superset(&before), "{names:?} {before:?}");
            there = names;
            // A server that lists them the other way round changes nothing.
            let list: Vec<_> = came.iter().rev().map(|id| (*id, mp3)).collect();
            let is_there = |name: &str| Ok::<_, std::convert::Infallible>(there.contains(name));
            let again = super::media_names(&list, &[], is_there).unwrap();
            assert_eq!(again.into_iter().collect::<HashSet<_>>(), there);
        }
    }

    #[test]
    fn media_of_equal_names_keep_apart() {
        let mp3 = Some("audio/mp3");
        let hash = |id: &str| format!("X~{:016x}", xxh3_64(id.as_bytes()));
        let (second, third) = (hash("X.mp3"), hash("X.mp3.bin"));
        let expected =
            ["X.mp3.bin".to_owned(), format!("{second}.mp3.bin"), format!("{third}.mp3.bin")];
        let names = media_names(&[("X", mp3), ("X.mp3", mp3), ("X.mp3.bin", mp3)]);
        assert_eq!(names, expected);
        let x = hash("X");
        assert_eq!(
            media_names(&[("X", None), ("X", None), ("X", None)]),
            ["X.bin".to_owned(), format!("{x}.bin"), format!("{x}~2.bin")]
        );
    }

    /// Ids of the kind that make trouble: short ones over a small alphabet, and long ones.
    fn hostile_id() -> impl Strategy<Value = String> {
        prop_oneof![
            r#"(\.|/|\\|%|~|2|e|E|:| |ü|CON|con|nul|\.mp3|\.bin|~[0-9a-f]{16}|\x00){0,6}"#,
            r#"[aA/ü]{110,200}(~[0-9a-f]{16})?"#,
            any::<String>(),
        ]
    }

    fn is_safe(name: &str) -> bool {
        !name.is_empty()
            && name.len() <= 230
            && !name.chars().any(is_forbidden)
            && !name.starts_with('.')
            && !name.ends_with(['.', ' '])
            && !is_device(name)
    }

    proptest! {
        #[test]
        fn names_are_safe_and_tell_ids_apart(a in hostile_id(), b in hostile_id()) {
            for name in [safe_name(&a), hashed_name(&a), metadata_name(&a)] {
                prop_assert!(is_safe(&name), "{name:?}");
            }
            prop_assert_eq!(a == b, safe_name(&a) == safe_name(&b));
            // A name that is taken for an id gives another name than its own id did.
            let name = safe_name(&a);
            prop_assert_eq!(name == a, safe_name(&name) == name);
            prop_assert_ne!(safe_name(&hashed_name(&a)), hashed_name(&a));
        }

        #[test]
        fn media_names_never_collide(ids in prop::collection::vec(hostile_id(), 0..8)) {
            let media: Vec<_> = ids.iter().map(|id| (id.as_str(), Some("audio/mp3"))).collect();
            let names = media_names(&media);
            let folded: HashSet<_> = names.iter().map(|name| fold(name)).collect();
            prop_assert_eq!(folded.len(), ids.len());
            for name in &names {
                prop_assert!(is_safe(name), "{:?}", name);
                prop_assert!(ends_with(name, "bin"), "{:?}", name);
            }
        }
    }
}
