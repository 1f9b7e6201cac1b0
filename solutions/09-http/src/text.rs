//! Makes texts from outside safe to log and to send. You do not need to read
//! this file.

/// The longest excerpt, in bytes.
const MOST: usize = 200;

/// The beginning of a text, as one line, with all control characters and
/// invisible characters escaped.
pub fn excerpt(text: &str) -> String {
    let mut excerpt = String::new();
    for c in text.chars() {
        if excerpt.len() >= MOST {
            return excerpt + "…";
        }
        match c {
            // `escape_debug` also escapes these, for Rust's own strings.
            '"' | '\'' | '\\' => excerpt.push(c),
            c => excerpt.extend(c.escape_debug()),
        }
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_short_and_hides_nothing() {
        for (text, expected) in [
            ("a \"name\", it's ü\\", "a \"name\", it's ü\\"),
            ("\u{1b}[2J\r\n", r"\u{1b}[2J\r\n"),
            ("\u{202e}cba\u{200b}", r"\u{202e}cba\u{200b}"),
        ] {
            assert_eq!(excerpt(text), expected);
        }
        let long = excerpt(&"n".repeat(1 << 20));
        assert!(long.len() < MOST + 10 && long.ends_with('…'));
    }
}
