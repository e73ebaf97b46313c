//! CSV of tables, for `moe report --format csv`.

use crate::report::document::{Block, Table};

/// The tables of the blocks as CSV. Where there are several, a line `# HEADING` stands before each, and a blank line between
/// two of them.
pub(crate) fn text(blocks: &[Block]) -> String {
    let mut heading = "";
    let mut tables: Vec<(&str, String)> = Vec::new();
    for block in blocks {
        match block {
            Block::Heading(_, text) => heading = text,
            Block::Table(of) => tables.push((heading, table(of))),
            _ => {}
        }
    }
    if let [(_, only)] = &tables[..] {
        return only.clone();
    }
    let named = |(heading, table): &(&str, String)| {
        format!("# {}\n{table}", heading.replace(char::is_control, " "))
    };
    tables.iter().map(named).collect::<Vec<_>>().join("\n")
}

fn table(table: &Table) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in std::iter::once(&table.heads).chain(&table.rows) {
        writer
            .write_record(line.iter().map(|cell| cell.trim_end()))
            .expect("lines are equally long");
    }
    let bytes = writer.into_inner().expect("memory can be written");
    String::from_utf8(bytes).expect("cells are text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let one = Block::table(["a", "b"], [vec!["x, \"y\"\n".to_owned() + "z", "1".into()]]);
        assert_eq!(text(std::slice::from_ref(&one)), "a,b\n\"x, \"\"y\"\"\nz\",1\n");
        let heading = Block::Heading(2, "T\nU".into());
        let two = text(&[heading, one.clone(), Block::Paragraph("no table".into()), one]);
        assert!(two.starts_with("# T U\na,b\n") && two.matches("# T U\n").count() == 2, "{two}");
    }
}
