//! How much of a message's HTML is worth showing. A few kilobytes can make a parser build millions of elements
//! (each unclosed `<font>` is opened again in every paragraph that follows), and what is nested deep takes time that grows with the
//! square. So a first parse builds nothing, counts, and stops. What even that parse must not see is cut before it
//! ([`crate::tags`]).

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use html5ever::interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::{StrTendril, TendrilSink as _};
use html5ever::{Attribute, ExpandedName, ParseOpts, QualName, ns, parse_fragment};

use crate::{limits, tags};

/// Octets that are parsed before the count is looked at.
const STEP: usize = 64;

/// As much of the input, from its start, as stays within the limits, and whether that is less than all.
pub(super) fn within(input: &str) -> (&str, bool) {
    let most = tags::within(&input[..floor(input, limits::RENDER_OCTETS)]).len();
    let counts = Rc::new(Counts::default());
    let sink = Counting {
        counts: Rc::clone(&counts),
        root: element(name("html")),
    };
    let mut parser = parse_fragment(sink, ParseOpts::default(), name("div"), Vec::new(), false);
    let mut at = 0;
    while at < most {
        let end = floor(input, (at + STEP).min(most)).max(at + 1);
        let end = (end..=most)
            .find(|end| input.is_char_boundary(*end))
            .unwrap_or(most);
        parser.process(StrTendril::from_slice(&input[at..end]));
        if counts.exceeded() {
            return (&input[..at], true);
        }
        at = end;
    }
    (&input[..most], most < input.len())
}

/// The last boundary of characters at or before `at`.
fn floor(input: &str, at: usize) -> usize {
    let mut at = at.min(input.len());
    while !input.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn name(local: &str) -> QualName {
    QualName::new(None, ns!(html), local.into())
}

#[derive(Default)]
struct Counts {
    made: Cell<usize>,
    depth: Cell<usize>,
}

impl Counts {
    fn exceeded(&self) -> bool {
        self.made.get() > limits::RENDER_ELEMENTS || self.depth.get() > limits::RENDER_DEPTH
    }
}

/// All that a parser has to know of an element again.
struct Element {
    name: QualName,
    depth: Cell<usize>,
}

type Handle = Rc<Element>;

fn element(name: QualName) -> Handle {
    Rc::new(Element {
        name,
        depth: Cell::new(0),
    })
}

/// A tree that is not kept.
struct Counting {
    counts: Rc<Counts>,
    root: Handle,
}

impl Counting {
    fn put(&self, depth: usize, child: NodeOrText<Handle>) {
        if let NodeOrText::AppendNode(child) = child {
            child.depth.set(depth);
            self.counts.depth.set(self.counts.depth.get().max(depth));
        }
    }
}

impl TreeSink for Counting {
    type Handle = Handle;
    type Output = ();
    type ElemName<'a> = ExpandedName<'a>;

    fn finish(self) {}
    fn parse_error(&self, _: Cow<'static, str>) {}
    fn get_document(&self) -> Handle {
        Rc::clone(&self.root)
    }
    fn elem_name<'a>(&'a self, target: &'a Handle) -> ExpandedName<'a> {
        target.name.expanded()
    }
    fn create_element(&self, name: QualName, _: Vec<Attribute>, _: ElementFlags) -> Handle {
        self.counts.made.set(self.counts.made.get() + 1);
        element(name)
    }
    fn create_comment(&self, _: StrTendril) -> Handle {
        element(name("comment"))
    }
    fn create_pi(&self, _: StrTendril, _: StrTendril) -> Handle {
        element(name("pi"))
    }
    fn append(&self, parent: &Handle, child: NodeOrText<Handle>) {
        self.put(parent.depth.get() + 1, child);
    }
    fn append_based_on_parent_node(
        &self,
        element: &Handle,
        previous: &Handle,
        child: NodeOrText<Handle>,
    ) {
        self.put(element.depth.get().max(previous.depth.get() + 1), child);
    }
    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}
    fn get_template_contents(&self, target: &Handle) -> Handle {
        Rc::clone(target)
    }
    fn same_node(&self, x: &Handle, y: &Handle) -> bool {
        Rc::ptr_eq(x, y)
    }
    fn set_quirks_mode(&self, _: QuirksMode) {}
    fn append_before_sibling(&self, sibling: &Handle, child: NodeOrText<Handle>) {
        self.put(sibling.depth.get(), child);
    }
    fn add_attrs_if_missing(&self, _: &Handle, _: Vec<Attribute>) {}
    fn remove_from_parent(&self, _: &Handle) {}
    fn reparent_children(&self, _: &Handle, _: &Handle) {}
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn usual_mail_is_whole() {
        let cell = "<td style=\"x\"><font color=red><b>x</b></font><br><img src=x><p>y<p>z</td>";
        let mail = format!(
            "<table>{}</table>",
            format!("<tr>{}</tr>", cell.repeat(10)).repeat(500)
        );
        assert!(!within(&mail).1);
        assert_eq!(within(&mail).0.len(), mail.len());
        assert_eq!(within("ü<b>ä</b>"), ("ü<b>ä</b>", false));
        let many = "<p>one<br>two<li>three".repeat(9_000);
        assert!(!within(&many).1);
    }

    #[test]
    fn depth_and_elements_made_again_are_cut() {
        let deep = "<div>".repeat(100_000);
        let (kept, cut) = within(&deep);
        assert!(cut && kept.len() < 10_000, "{}", kept.len());
        let mut again = String::from("<ul><li>");
        for n in 0..300 {
            again.push_str(&format!("<font x={n}>"));
        }
        again.push_str(&"<li>x".repeat(100_000));
        let (kept, cut) = within(&again);
        assert!(cut && kept.len() < 20_000, "{}", kept.len());
    }
}
