//! Text and code as HTML.

use crate::fence::{Code, CodeKind};

/// A fence, as it is shown. All but Rust is coloured here, so that it looks
/// the same without JavaScript.
pub fn code(code: &Code) -> String {
    let text = code.text.trim_end();
    match &code.kind {
        CodeKind::Rust(file) => {
            let file = escape(file);
            format!(
                "<figure><figcaption><a href=\"{file}\">{file}</a></figcaption>\
                 <pre tabindex=\"0\"><code class=\"language-rust\">{}</code></pre>\
                 </figure>\n",
                escape(text)
            )
        }
        // The style sheet adds the prompt, so that it is not copied.
        CodeKind::Sh(_) => figure("sh", text, |line| {
            format!("<span class=\"line\">{}</span>", escape(line))
        }),
        CodeKind::Console => {
            figure("console", text, |line| match line.strip_prefix("$ ") {
                Some(command) => format!("$ <b>{}</b>", escape(command)),
                None => escape(line),
            })
        }
        CodeKind::Http(_) => figure("http", text, |line| {
            let first = line.starts_with("POST ") || line.starts_with("HTTP/");
            match first {
                true => format!("<b>{}</b>", escape(line)),
                false => escape(line),
            }
        }),
    }
}

fn figure(class: &str, text: &str, line: impl Fn(&str) -> String) -> String {
    let lines: Vec<_> = text.lines().map(line).collect();
    format!(
        "<figure class=\"{class}\"><pre tabindex=\"0\"><code>{}</code></pre>\
         </figure>\n",
        lines.join("\n")
    )
}

/// Escapes a text for HTML and its attributes.
pub fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('"', "&quot;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}
