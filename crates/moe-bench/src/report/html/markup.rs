//! Parts of sections as HTML.

use std::fmt::Write;

use crate::report::document::{Block, Table};
use crate::report::html::section::{Key, Part, Plot, Section};

/// The text with the characters that mean something in HTML and in its attributes escaped, and without control characters.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            '\n' | '\t' => escaped.push(character),
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The section as HTML.
pub(super) fn section(section: &Section) -> String {
    let Section { id, title, parts } = section;
    let mut html = format!("<section id=\"{id}\">\n<h2>{}</h2>\n", escape(title));
    for of in parts {
        html += &part(of);
    }
    html + "</section>\n"
}

fn part(part: &Part) -> String {
    match part {
        Part::Block(of) => block(of),
        Part::Lead(text) => format!("<p class=\"lead\">{}</p>\n", escape(text)),
        Part::Missing(text) => format!("<p class=\"missing\">{}</p>\n", escape(text)),
        Part::Folded(title, of) => {
            format!("<details><summary>{}</summary>\n{}</details>\n", escape(title), block(of))
        }
        Part::Plots(plots, keys) => plots_and_keys(plots, keys),
    }
}

fn plots_and_keys(plots: &[Plot], keys: &[Key]) -> String {
    let mut html = String::new();
    if !keys.is_empty() {
        html += "<ul class=\"keys\">\n";
        for Key { colour, is_dashed, name } in keys {
            let dashed = if *is_dashed { " dashed" } else { "" };
            let _ = writeln!(
                html,
                "<li class=\"key{dashed}\" style=\"--c:var(--c{colour})\">{}</li>",
                escape(name)
            );
        }
        html += "</ul>\n";
    }
    html += "<div class=\"plots\">\n";
    for Plot { title, svg } in plots {
        let _ =
            writeln!(html, "<figure><figcaption>{}</figcaption>\n{svg}</figure>", escape(title));
    }
    html + "</div>\n"
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(_, text) => format!("<h3>{}</h3>\n", escape(text)),
        Block::Paragraph(text) => format!("<p>{}</p>\n", escape(text)),
        Block::List(items) => {
            let items = items.iter().map(|item| format!("<li>{}</li>\n", escape(item)));
            format!("<ul>\n{}</ul>\n", items.collect::<String>())
        }
        Block::Table(of) => table(of),
        Block::Code(_, text) => format!("<pre tabindex=\"0\">{}</pre>\n", escape(text)),
    }
}

/// The table in a box of its own, which scrolls where the page is narrow.
fn table(table: &Table) -> String {
    let cells = |tag: &str, cells: &[String]| -> String {
        let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell.trim_end())));
        cells.collect()
    };
    let heads = cells("th", &table.heads);
    let mut html = format!(
        "<div class=\"table\" tabindex=\"0\"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n"
    );
    for row in &table.rows {
        let _ = writeln!(html, "<tr>{}</tr>", cells("td", row));
    }
    html + "</tbody>\n</table></div>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_data_is_markup() {
        let name = "<script>\"&'</script>\u{0}\r\n";
        let safe = "&lt;script&gt;&quot;&amp;&#39;&lt;/script&gt;  \n";
        assert_eq!(escape(name), safe);
        let blocks = [
            Block::Heading(2, name.into()),
            Block::Paragraph(name.into()),
            Block::List(vec![name.into()]),
            Block::table([name], [vec![name.to_owned()]]),
            Block::Code("toml", name.into()),
        ];
        for of in blocks {
            assert!(!block(&of).contains("<script"), "{of:?}");
        }
        let plot = Plot { title: name.into(), svg: String::new() };
        let key = Key { colour: 0, is_dashed: false, name: name.into() };
        for of in [
            Part::Lead(name.into()),
            Part::Missing(name.into()),
            Part::Folded(name.into(), Block::Paragraph(name.into())),
            Part::Plots(vec![plot], vec![key]),
        ] {
            assert!(!part(&of).contains("<script"), "{of:?}");
        }
    }
}
