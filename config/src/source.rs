//! Text -> tree of nodes with positions, bounded in size, depth and number of nodes.
//!
//! The tree borrows its text from the source and is as plain as YAML's representation graph: scalars, lists,
//! maps with text keys. Aliases are written out, and what they write out counts against the same bound as what
//! was typed, so that ten lines of "billion laughs" end as one error. Merge keys (`<<`) are no part of
//! YAML 1.2 and no part of this.
//!
//! The parser is saphyr-parser, driven event by event: its events carry positions, and a bound can end the
//! work at any event. A loader that hands over a finished tree knows its bounds too late.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

/// One file, or what stands for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path as shown in errors.
    pub name: String,
    /// Its content: YAML, one or many documents.
    pub text: String,
    /// The directory that relative file names in it are relative to.
    pub base: PathBuf,
}

impl Source {
    /// A source whose file names are relative to the working directory.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Source { name: name.into(), text: text.into(), base: PathBuf::new() }
    }
}

/// The largest file. 50,000 endpoints, one a line, take about 3 MB.
pub(crate) const MAX_BYTES: usize = 16 << 20;
/// The deepest nesting. The deepest place of any kind is 14.
pub(crate) const MAX_DEPTH: usize = 64;
/// The most nodes of a file, aliases written out. An endpoint takes 4 or more.
pub(crate) const MAX_NODES: usize = 1_000_000;
/// From this many keys on a map looks for duplicates by hash.
const FEW_KEYS: usize = 16;

/// A place in a file, both from 1, the column in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl From<&Marker> for Position {
    fn from(marker: &Marker) -> Self {
        let clamp = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Position { line: clamp(marker.line().max(1)), column: clamp(marker.col().saturating_add(1)) }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node<'a> {
    pub(crate) at: Position,
    pub(crate) value: Value<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// `plain` is one without quotes, the only form that can be a number, a boolean or null.
    Scalar {
        text: Cow<'a, str>,
        plain: bool,
    },
    List(Vec<Node<'a>>),
    Map(Vec<Entry<'a>>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) key_at: Position,
    pub(crate) node: Node<'a>,
}

impl Node<'_> {
    /// YAML 1.2 core schema, 10.3.2: nothing, `~` or `null` without quotes.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL"))
    }

    fn count(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 1,
            Value::List(items) => 1 + items.iter().map(Node::count).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|entry| 1 + entry.node.count()).sum::<usize>(),
        }
    }
}

/// A mistake in the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Position,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

/// What a text holds: the documents up to the first fault that stops the parser, and all faults.
#[derive(Debug, Default)]
pub(crate) struct Tree<'a> {
    pub(crate) documents: Vec<Node<'a>>,
    pub(crate) faults: Vec<Fault>,
    /// Whether a fault cut the text short, so that documents may be missing.
    pub(crate) cut_short: bool,
}

/// Parses all documents of `text`. Linear in its length.
pub(crate) fn parse(text: &str) -> Tree<'_> {
    let mut builder = Builder::default();
    if text.len() > MAX_BYTES {
        let fault =
            fault(Position::default(), "the file is larger than 16 MiB", "split it into several files");
        return Tree { faults: vec![fault], cut_short: true, ..Tree::default() };
    }
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => builder.event(event, Position::from(&span.start)),
            Err(error) => Err(syntax_fault(&error, text)),
        };
        if let Err(fault) = step {
            builder.tree.faults.push(fault);
            builder.tree.cut_short = true;
            break;
        }
    }
    builder.tree
}

fn fault(at: Position, message: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault { at, message: message.into(), remedy: remedy.into() }
}

fn syntax_fault(error: &saphyr_parser::ScanError, text: &str) -> Fault {
    let at = Position::from(error.marker());
    let line = text.lines().nth(at.line as usize - 1).unwrap_or_default();
    let remedy = if line.trim_start_matches(' ').starts_with('\t') || error.info().contains("tab") {
        "indent with spaces: YAML forbids tabs there"
    } else {
        "check the indentation, the brackets and the quotes here and in the line before"
    };
    fault(at, format!("not YAML: {}", error.info()), remedy)
}

/// A list or map that is still open.
enum Open<'a> {
    List(Vec<Node<'a>>),
    Map { entries: Vec<Entry<'a>>, keys: HashSet<Cow<'a, str>>, key: Option<Key<'a>> },
}

/// The key whose value comes next; `None` as text where the entry is to be dropped.
struct Key<'a> {
    text: Option<Cow<'a, str>>,
    at: Position,
}

struct Frame<'a> {
    at: Position,
    anchor: usize,
    open: Open<'a>,
}

#[derive(Default)]
struct Builder<'a> {
    tree: Tree<'a>,
    stack: Vec<Frame<'a>>,
    anchors: HashMap<usize, (Node<'a>, usize)>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn event(&mut self, event: Event<'a>, at: Position) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = self.is_plain(style, tag.as_deref(), at);
                self.spend(1, at)?;
                self.finish(Node { at, value: Value::Scalar { text, plain } }, anchor)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "seq", at);
                self.open(Open::List(Vec::new()), anchor, at)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "map", at);
                self.open(Open::Map { entries: Vec::new(), keys: HashSet::new(), key: None }, anchor, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.stack.pop() {
                    let value = match frame.open {
                        Open::List(items) => Value::List(items),
                        Open::Map { entries, .. } => Value::Map(entries),
                    };
                    self.finish(Node { at: frame.at, value }, frame.anchor)?;
                }
            }
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor) else {
                    let remedy = "write the value out; an anchor cannot be used inside itself";
                    return Err(fault(at, "this alias stands inside its own anchor", remedy));
                };
                let (mut node, size) = (node.clone(), *size);
                node.at = at;
                self.spend(size, at)?;
                self.finish(node, 0)?;
            }
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn spend(&mut self, nodes: usize, at: Position) -> Result<(), Fault> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            let remedy = "split the file, and write less through aliases";
            return Err(fault(at, format!("more than {MAX_NODES} values, aliases written out"), remedy));
        }
        Ok(())
    }

    fn open(&mut self, open: Open<'a>, anchor: usize, at: Position) -> Result<(), Fault> {
        self.spend(1, at)?;
        if self.stack.len() >= MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            return Err(fault(at, message, "no kind nests so deep: check the brackets"));
        }
        self.stack.push(Frame { at, anchor, open });
        Ok(())
    }

    /// A node is complete: it becomes a key, a value, an item or a document.
    fn finish(&mut self, node: Node<'a>, anchor: usize) -> Result<(), Fault> {
        if anchor > 0 {
            // The copy counts like an alias: a chain of nested anchors would else be copied depth times unseen.
            let size = node.count();
            self.spend(size, node.at)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.tree.documents.push(node);
            return Ok(());
        };
        match &mut frame.open {
            Open::List(items) => items.push(node),
            Open::Map { entries, keys, key } => match key.take() {
                Some(Key { text: Some(text), at }) => {
                    if entries.len() >= FEW_KEYS {
                        keys.insert(text.clone());
                    }
                    entries.push(Entry { key: text, key_at: at, node });
                }
                Some(Key { text: None, .. }) => {}
                None => {
                    let at = node.at;
                    let text = match node.value {
                        Value::Scalar { text, .. } => match earlier(entries, keys, &text) {
                            None => Some(text),
                            Some(first) => {
                                let message =
                                    format!("`{text}` is given twice, first in line {}", first.line);
                                self.tree.faults.push(fault(at, message, "keep one of the two"));
                                None
                            }
                        },
                        Value::List(_) | Value::Map(_) => {
                            let remedy = "write the key as plain text";
                            self.tree.faults.push(fault(at, "a list or map cannot be a key here", remedy));
                            None
                        }
                    };
                    *key = Some(Key { text, at });
                }
            },
        }
        Ok(())
    }

    fn is_plain(&mut self, style: ScalarStyle, tag: Option<&Tag>, at: Position) -> bool {
        match tag {
            None => style == ScalarStyle::Plain,
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => false,
            // The non-specific tag `!` makes a scalar a text (YAML 1.2.2, 6.9.1).
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => false,
            Some(tag)
                if tag.is_yaml_core_schema() && matches!(&*tag.suffix, "int" | "float" | "bool" | "null") =>
            {
                true
            }
            Some(tag) => {
                self.unknown_tag(tag, at);
                true
            }
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, only: &str, at: Position) {
        if let Some(tag) = tag.filter(|tag| !(tag.is_yaml_core_schema() && tag.suffix == only)) {
            self.unknown_tag(tag, at);
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, at: Position) {
        self.tree.faults.push(fault(at, format!("the tag `{tag}` means nothing here"), "leave the tag out"));
    }
}

fn earlier(entries: &[Entry<'_>], keys: &HashSet<Cow<'_, str>>, key: &str) -> Option<Position> {
    let few = entries.iter().take(FEW_KEYS).find(|entry| entry.key == key);
    let found = match few {
        None if keys.contains(key) => entries.iter().find(|entry| entry.key == key),
        few => few,
    };
    found.map(|entry| entry.key_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, column: u32) -> Position {
        Position { line, column }
    }

    fn only_fault(text: &str) -> Fault {
        let mut faults = parse(text).faults;
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults.remove(0)
    }

    fn entry<'t, 'a>(node: &'t Node<'a>, key: &str) -> &'t Entry<'a> {
        let Value::Map(entries) = &node.value else { panic!("not a map: {node:?}") };
        entries.iter().find(|entry| entry.key == key).unwrap()
    }

    #[test]
    fn every_node_knows_its_line_and_column_in_characters() {
        let tree = parse("# head\na: {ä: x, b: [1,  2]}\nc:\n  - \"y\"\n");
        assert_eq!(tree.faults, []);
        let a = entry(&tree.documents[0], "a");
        assert_eq!((a.key_at, a.node.at), (at(2, 1), at(2, 4)));
        assert_eq!(entry(&a.node, "ä").node.at, at(2, 8));
        let Value::List(items) = &entry(&a.node, "b").node.value else { panic!() };
        assert_eq!((items[0].at, items[1].at), (at(2, 15), at(2, 19)));
        let Value::List(items) = &entry(&tree.documents[0], "c").node.value else { panic!() };
        assert_eq!(items[0], Node { at: at(4, 5), value: Value::Scalar { text: "y".into(), plain: false } });
    }

    #[test]
    fn documents_before_a_syntax_error_are_kept() {
        let tree = parse("a: 1\n---\nb: [1\n---\nc: 1\n");
        assert_eq!(tree.documents.len(), 1);
        assert!(tree.cut_short);
        assert_eq!(tree.faults.len(), 1);
        assert!(tree.faults[0].message.starts_with("not YAML"));
    }

    #[test]
    fn a_tab_as_indentation_is_named() {
        let fault = only_fault("a:\n\tb: 1\n");
        assert_eq!(fault.at.line, 2);
        assert!(fault.remedy.contains("spaces"), "{fault:?}");
    }

    #[test]
    fn a_duplicate_key_is_found_among_few_and_among_many() {
        let fault = only_fault("a: 1\nb: 2\na: 3\n");
        assert_eq!((fault.at, &*fault.message), (at(3, 1), "`a` is given twice, first in line 1"));
        for key in 0..40 {
            let keys: String = (0..40).map(|i| format!("k{i}: 1\n")).collect();
            assert_eq!(only_fault(&format!("{keys}k{key}: 2\n")).at, at(41, 1), "{key}");
        }
        let many: String = (0..100).map(|i| format!("k{i}: 1\n")).collect();
        let fault = only_fault(&format!("{many}k77: 2\n"));
        assert_eq!((fault.at, &*fault.message), (at(101, 1), "`k77` is given twice, first in line 78"));
    }

    #[test]
    fn an_alias_is_written_out_at_its_own_place() {
        let tree = parse("a: &x {b: 1}\nc: *x\n");
        let c = entry(&tree.documents[0], "c");
        assert_eq!(c.node.at, at(2, 4));
        assert_eq!(entry(&c.node, "b").node.at, at(1, 11));
    }

    #[test]
    fn an_alias_inside_its_own_anchor_is_refused() {
        assert!(only_fault("a: &x [*x]\n").message.contains("inside its own anchor"));
    }

    #[test]
    fn a_billion_laughs_end_at_the_bound() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = level - 1;
            text += &format!("a{level}: &a{level} [");
            text += &vec![format!("*a{before}"); 10].join(", ");
            text += "]\n";
        }
        assert!(only_fault(&text).message.contains("aliases written out"));
    }

    #[test]
    fn what_nested_anchors_copy_counts_as_well() {
        let inside = vec!["x"; 30_000].join(", ");
        let nested: String = (0..60).map(|level| format!("&a{level} [")).collect();
        let text = format!("{nested}{inside}{}", "]".repeat(60));
        assert!(only_fault(&text).message.contains("aliases written out"));
        let plain = format!("{}{inside}{}", "[".repeat(60), "]".repeat(60));
        assert_eq!(parse(&plain).faults, []);
    }

    #[test]
    fn nesting_past_the_bound_is_refused() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(parse(&deep(MAX_DEPTH)).faults, []);
        assert!(only_fault(&deep(MAX_DEPTH + 1)).message.contains("nested"));
        let block: String = (0..200).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        assert!(only_fault(&block).message.contains("nested"));
        // The scanner itself must come back from this, whatever it says.
        assert!(!parse(&"[".repeat(1 << 20)).faults.is_empty());
        assert!(!parse(&"- ".repeat(1 << 16)).faults.is_empty());
    }

    #[test]
    fn only_the_tags_of_the_core_schema_are_known() {
        let tree = parse("a: !!str 5\nb: !!int 5\nc: !mine 5\n");
        let plain =
            |key| matches!(entry(&tree.documents[0], key).node.value, Value::Scalar { plain: true, .. });
        assert_eq!((plain("a"), plain("b")), (false, true));
        assert_eq!(tree.faults.len(), 1);
        assert_eq!(tree.faults[0].message, "the tag `!mine` means nothing here");
    }

    #[test]
    fn a_key_that_is_no_text_is_refused_and_the_rest_is_read() {
        let tree = parse("? [a]\n: 1\nb: 2\n");
        assert_eq!(tree.faults.len(), 1);
        assert!(matches!(&tree.documents[0].value, Value::Map(entries) if entries.len() == 1));
    }

    #[test]
    fn null_is_what_the_core_schema_says() {
        let Value::List(items) = &parse("[~, null, NULL, \"\", \"null\", none]").documents[0].value else {
            panic!()
        };
        assert_eq!(
            items.iter().map(Node::is_null).collect::<Vec<_>>(),
            [true, true, true, false, false, false]
        );
    }
}
