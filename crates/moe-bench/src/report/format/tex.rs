//! LaTeX with the package booktabs, for `moe report --format tex`.

use crate::report::document::{Block, Table, laid_out};

/// The blocks as parts of a LaTeX document that loads `booktabs`.
pub(crate) fn text(blocks: &[Block]) -> String {
    "% Needs \\usepackage{booktabs}.\n".to_owned()
        + &laid_out(blocks, |block| match block {
            Block::Heading(1, text) => format!("\\section{{{}}}\n", escape(text)),
            Block::Heading(2, text) => format!("\\subsection{{{}}}\n", escape(text)),
            Block::Heading(_, text) => format!("\\subsubsection{{{}}}\n", escape(text)),
            Block::Paragraph(text) => format!("{}\n", escape(text)),
            Block::List(items) => {
                let items = items.iter().map(|item| format!("  \\item {}\n", escape(item)));
                format!("\\begin{{itemize}}\n{}\\end{{itemize}}\n", items.collect::<String>())
            }
            Block::Table(of) => table(of),
            Block::Code(_, text) => {
                // What ends the environment cannot stand in it.
                let text = text.replace("\\end{verbatim}", "\\end {verbatim}");
                format!("\\begin{{verbatim}}\n{text}\\end{{verbatim}}\n")
            }
        })
}

fn table(table: &Table) -> String {
    let columns = "l".to_owned() + &"r".repeat(table.heads.len().saturating_sub(1));
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| escape(cell.trim_end())).collect();
        format!("  {} \\\\\n", cells.join(" & "))
    };
    let rows: String = table.rows.iter().map(|row| line(row)).collect();
    let heads = line(&table.heads);
    format!(
        "\\begin{{tabular}}{{{columns}}}\n  \\toprule\n{heads}  \\midrule\n{rows}  \\bottomrule\n\\end{{tabular}}\n"
    )
}

/// The text with LaTeX's own characters escaped, on one line.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped += "\\textbackslash{}",
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            '<' => escaped += "\\textless{}",
            '>' => escaped += "\\textgreater{}",
            '"' => escaped += "\\char34{}",
            '±' => escaped += "$\\pm$",
            '≤' => escaped += "$\\leq$",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', character]),
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    // A line break of the table would take brackets at the beginning of a cell for its argument.
    match escaped.starts_with('[') {
        true => format!("{{}}{escaped}"),
        false => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_data_is_a_command() {
        let name = "\\input{x} 5 % & $a_b$ #1 ~^ <\"\n";
        let safe = "\\textbackslash{}input\\{x\\} 5 \\% \\& \\$a\\_b\\$ \\#1 \\textasciitilde{}\\textasciicircum{} \
                    \\textless{}\\char34{} ";
        assert_eq!(escape(name), safe);
        let found = text(&[
            Block::Heading(2, "A_1".into()),
            Block::table(["a", "b"], [vec!["[1".to_owned(), "0.1 ± 0.2".into()]]),
            Block::Code("toml", "x\n\\end{verbatim}\n".into()),
        ]);
        let table = "\\begin{tabular}{lr}\n  \\toprule\n  a & b \\\\\n  \\midrule\n  {}[1 & 0.1 $\\pm$ 0.2 \\\\\n  \
                     \\bottomrule\n\\end{tabular}\n";
        assert!(found.contains(table), "{found}");
        assert!(found.contains("\\subsection{A\\_1}\n"), "{found}");
        assert_eq!(found.matches("\\end{verbatim}").count(), 1, "{found}");
    }
}
