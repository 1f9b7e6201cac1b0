//! What others have sent, made fit to be shown. No lesson needs a line of it.

/// More than this of one text, in characters, helps nobody.
const MOST: usize = 200;

/// A text as one short line, in which nothing moves a terminal's cursor, changes
/// its colours or hides.
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() >= MOST {
            return shown + "…";
        }
        match c {
            // `escape_debug` is for Rust's own strings, where these mean more.
            '"' | '\'' | '\\' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    shown
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
            assert_eq!(shown(text), expected);
        }
        let long = shown(&"n".repeat(1 << 20));
        assert!(long.len() < MOST + 10 && long.ends_with('…'));
    }
}
