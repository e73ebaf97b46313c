//! A section of a page, without a format.

use crate::report::document::Block;

/// A section.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    /// Its name in the address of the page and for `--section`.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) parts: Vec<Part>,
}

/// A part of a section.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Block(Block),
    /// A sentence in large letters.
    Lead(String),
    /// Plots side by side, with the routers that they show.
    Plots(Vec<Plot>, Vec<Key>),
    /// What the page lacks, and how to get it.
    Missing(String),
    /// A block that is folded away, with its title.
    Folded(String, Block),
}

/// A plot.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) title: String,
    /// An SVG element.
    pub(crate) svg: String,
}

/// The meaning of a colour.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) colour: usize,
    pub(crate) is_dashed: bool,
    pub(crate) name: String,
}

impl Section {
    pub(crate) fn new(id: &'static str, title: &'static str) -> Self {
        Section { id, title, parts: Vec::new() }
    }

    pub(crate) fn with(mut self, parts: impl IntoIterator<Item = Part>) -> Self {
        self.parts.extend(parts);
        self
    }

    pub(crate) fn paragraph(self, text: impl Into<String>) -> Self {
        self.with([Part::Block(Block::Paragraph(text.into()))])
    }

    pub(crate) fn blocks(self, blocks: impl IntoIterator<Item = Block>) -> Self {
        self.with(blocks.into_iter().map(Part::Block))
    }

    pub(crate) fn missing(self, text: impl Into<String>) -> Self {
        self.with([Part::Missing(text.into())])
    }
}

/// The blocks of sections under their titles, without plots.
pub(crate) fn blocks(title: &str, sections: &[Section]) -> Vec<Block> {
    let mut blocks = vec![Block::Heading(1, title.to_owned())];
    for section in sections {
        blocks.push(Block::Heading(2, section.title.to_owned()));
        for part in &section.parts {
            match part {
                Part::Block(block) => blocks.push(block.clone()),
                Part::Folded(title, block) => {
                    blocks.extend([Block::Heading(3, title.clone()), block.clone()]);
                }
                Part::Lead(text) | Part::Missing(text) => {
                    blocks.push(Block::Paragraph(text.clone()));
                }
                Part::Plots(..) => {}
            }
        }
    }
    blocks
}

/// The colours of names: of those with a `+`, that of the name without it, dashed.
pub(crate) fn keys<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Key> {
    /// Number of colours of the page's style.
    const COLOURS: usize = 12;
    let mut bases: Vec<&str> = Vec::new();
    let mut keys = Vec::new();
    for name in names {
        let base = name.trim_end_matches('+');
        let place = bases.iter().position(|known| *known == base).unwrap_or_else(|| {
            bases.push(base);
            bases.len() - 1
        });
        let is_dashed = (base != name) != (place / COLOURS % 2 == 1);
        keys.push(Key { colour: place % COLOURS, is_dashed, name: name.to_owned() });
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_and_its_search_share_a_colour() {
        let keys = keys(["top-k", "comet+", "comet", "top-k+"]);
        let found: Vec<_> = keys.iter().map(|key| (key.colour, key.is_dashed)).collect();
        assert_eq!(found, [(0, false), (1, true), (1, false), (0, true)]);
    }
}
