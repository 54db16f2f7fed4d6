//! Just enough of XML to hold a document against a structure, read strictly.

/// An element: its name, attributes as they stand, and either text or elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// The names of its children, in their order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.children.iter().map(|child| child.name.as_str()).collect()
    }

    /// The element at the end of a path, of which there must be one.
    #[track_caller]
    pub(crate) fn at(&self, path: &str) -> &Element {
        path.split('/').fold(self, |element, name| {
            let mut found = element.children.iter().filter(|child| child.name == name);
            let one = found.next().unwrap_or_else(|| panic!("no {name} in {element:?}"));
            assert!(found.next().is_none(), "{name} twice");
            one
        })
    }
}

/// Reads a document.
pub(crate) fn parse(text: &str) -> Element {
    let rest = text.strip_prefix("<?xml version=\"1.0\"?>").expect("a declaration");
    let (element, rest) = element(skip(rest));
    assert_eq!(skip(rest), "", "nothing behind the root");
    element
}

/// Leaves out blanks and comments.
fn skip(text: &str) -> &str {
    let text = text.trim_start();
    let Some(comment) = text.strip_prefix("<!--") else { return text };
    let (comment, rest) = comment.split_once("-->").expect("the end of a comment");
    assert!(!comment.contains("--"), "`--` in a comment");
    skip(rest)
}

fn element(text: &str) -> (Element, &str) {
    let (head, mut rest) = text.strip_prefix('<').unwrap().split_once('>').unwrap();
    let (name, attributes) = head.split_once(' ').unwrap_or((head, ""));
    assert!(name.chars().all(char::is_alphanumeric), "{head}");
    let (mut children, mut content) = (Vec::new(), String::new());
    let end = format!("</{name}>");
    loop {
        rest = skip(rest);
        if let Some(behind) = rest.strip_prefix(&end) {
            let (name, attributes) = (name.to_owned(), attributes.to_owned());
            return (Element { name, attributes, text: content, children }, behind);
        }
        if rest.starts_with('<') {
            let (child, behind) = element(rest);
            assert!(content.is_empty(), "text beside elements in {name}");
            children.push(child);
            rest = behind;
        } else {
            let (text, _) = rest.split_at(rest.find('<').unwrap());
            content += &unescaped(text);
            rest = &rest[text.len()..];
        }
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        let (entity, behind) = behind.split_once(';').expect("the end of an entity");
        let c = match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            _ => entity
                .strip_prefix('#')
                .and_then(|number| char::from_u32(number.parse().ok()?))
                .unwrap_or_else(|| panic!("{entity}")),
        };
        out += before;
        out.push(c);
        rest = behind;
    }
    out + rest
}
