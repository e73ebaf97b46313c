//! A scan of Rust sources that sees code only: no comments, no text in quotes.

/// The source with comments and the contents of literals replaced by spaces. Lines stay where they are.
pub(crate) fn code_only(source: &str) -> String {
    let mut scan = Scan { rest: source, code: String::with_capacity(source.len()) };
    while let Some(next) = scan.rest.chars().next() {
        match next {
            '/' if scan.rest.starts_with("//") => {
                scan.blank(scan.rest.find('\n').unwrap_or(scan.rest.len()))
            }
            '/' if scan.rest.starts_with("/*") => scan.blank(block_comment(scan.rest)),
            '"' => scan.blank(text(scan.rest)),
            '\'' => scan.quote(),
            _ if is_word(next) => scan.word(),
            _ => scan.keep(next.len_utf8()),
        }
    }
    scan.code
}

/// The lines, from 1, where `word` stands as a whole word directly followed by `after`.
pub(crate) fn lines_with(code: &str, word: &str, after: &str) -> Vec<usize> {
    let stands_at = |line: &str, at: usize| {
        let (before, rest) = (&line[..at], &line[at + word.len()..]);
        !before.ends_with(is_word)
            && rest.starts_with(after)
            && (!after.is_empty() || !rest.starts_with(is_word))
    };
    code.lines()
        .enumerate()
        .filter(|(_, line)| line.match_indices(word).any(|(at, _)| stands_at(line, at)))
        .map(|(index, _)| index + 1)
        .collect()
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

struct Scan<'a> {
    rest: &'a str,
    code: String,
}

impl Scan<'_> {
    fn keep(&mut self, bytes: usize) {
        let (kept, rest) = self.rest.split_at(bytes);
        self.code.push_str(kept);
        self.rest = rest;
    }

    fn blank(&mut self, bytes: usize) {
        let (gone, rest) = self.rest.split_at(bytes);
        self.code.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }

    /// A word, or the raw text that it opens.
    fn word(&mut self) {
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at(end);
        self.keep(end);
        if matches!(word, "r" | "br" | "cr") {
            let hashes = after.len() - after.trim_start_matches('#').len();
            if after[hashes..].starts_with('"') {
                let close = format!("\"{}", "#".repeat(hashes));
                let inner = hashes + 1;
                self.blank(
                    after[inner..].find(&close).map_or(after.len(), |at| inner + at + close.len()),
                );
            }
        }
    }

    /// A character, or the mark of a lifetime.
    fn quote(&mut self) {
        let mut inner = self.rest.char_indices().skip(1);
        match (inner.next(), inner.next()) {
            (Some((_, '\\')), Some((at, escaped))) => {
                let from = at + escaped.len_utf8();
                self.blank(
                    self.rest[from..].find('\'').map_or(self.rest.len(), |close| from + close + 1),
                );
            }
            (Some(_), Some((at, '\''))) => self.blank(at + 1),
            _ => self.keep(1),
        }
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn text(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        code_only(source).split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn comments_are_gone() {
        assert_eq!(
            words("a // unsafe\nb /* unsafe /* é */ unsafe */ c\n/// unsafe {\n//! x\nd"),
            ["a", "b", "c", "d"]
        );
        assert_eq!(words("a /* never closed"), ["a"]);
    }

    #[test]
    fn text_is_gone() {
        assert_eq!(words(r#"a "unsafe \" // \\" b"#), ["a", "b"]);
        assert_eq!(words("a r#\"unsafe \" // \"# b"), ["a", "r", "b"]);
        assert_eq!(words("a br\"\\\" b \"open"), ["a", "br", "b"]);
        assert_eq!(words("r#type b"), ["r#type", "b"]);
    }

    #[test]
    fn characters_are_gone_and_lifetimes_stay() {
        assert_eq!(words(r#"a '"' b '\'' c '\u{1F600}' d '\\' e"#), ["a", "b", "c", "d", "e"]);
        assert_eq!(words("f<'t>(x: &'t str) // '"), ["f<'t>(x:", "&'t", "str)"]);
        assert_eq!(words("'é' b"), ["b"]);
    }

    #[test]
    fn lines_keep_their_numbers() {
        let code = code_only("/* one\ntwo */\n\"three\nfour\"\nfive!()");
        assert_eq!(lines_with(&code, "five", "!"), [5]);
    }

    #[test]
    fn only_whole_words_count() {
        let code = "unsafe_code\nmy_unsafe\nunsafe { }\n#[unsafe(x)]\neprintln!()\nstd::println!()";
        assert_eq!(lines_with(code, "unsafe", ""), [3, 4]);
        assert_eq!(lines_with(code, "println", "!"), [6]);
        assert_eq!(lines_with("ndarray_rand::x(); my::rand::y", "rand", "::"), [1]);
        assert_eq!(lines_with("ndarray_rand::x();", "rand", "::"), [0; 0]);
    }
}
