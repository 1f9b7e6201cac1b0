//! Reports for programs: JSON, and the XML of JUnit, which CI services read.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::report::{Ran, Report, Verdict};

/// The format of [`json()`]. A change that breaks readers gets another number.
pub const FORMAT: &str = "workshop report 1";

/// The whole report as one object:
///
/// - `format`: [`FORMAT`]; `seed`: a number;
/// - `passed`, `failed`, `skipped`: how many checks;
/// - `checks`: in order, objects with `id`, `step`, `name` and `verdict`, which is
///   `passed`, `failed` or `skipped`. A skipped one has `because`; a failed one has
///   `sent`, `expected`, `got`, `why`, `fix`, and the lists `holes` and `log`.
pub fn json(report: &Report) -> Value {
    json!({
        "format": FORMAT,
        "seed": report.seed,
        "passed": count(report, "passed"),
        "failed": count(report, "failed"),
        "skipped": count(report, "skipped"),
        "checks": report.ran.iter().map(check).collect::<Vec<_>>(),
    })
}

/// How many checks have this verdict.
fn count(report: &Report, word: &str) -> usize {
    report.ran.iter().filter(|ran| verdict(ran) == word).count()
}

fn verdict(ran: &Ran) -> &'static str {
    match ran.verdict {
        Verdict::Passed => "passed",
        Verdict::Failed { .. } => "failed",
        Verdict::NotTried(_) => "skipped",
    }
}

fn check(ran: &Ran) -> Value {
    let mut value = json!({
        "id": ran.check.id,
        "step": ran.check.step,
        "name": ran.check.name,
        "verdict": verdict(ran),
    });
    match &ran.verdict {
        Verdict::Passed => {}
        Verdict::NotTried(why) => value["because"] = json!(why),
        Verdict::Failed { finding, log } => {
            value["sent"] = json!(finding.sent);
            value["expected"] = json!(finding.expected);
            value["got"] = json!(finding.got);
            value["why"] = json!(ran.check.why);
            value["log"] = json!(log);
            if let Some(fix) = &ran.fix {
                value["fix"] = json!(fix.text);
                value["holes"] = json!(fix.holes);
            }
        }
    }
    value
}

/// The whole report as a file of JUnit. `suite` names the run.
///
/// Source of the format: the schema of Apache Ant's task junit, as far as GitLab,
/// Jenkins and GitHub's actions read it.
pub fn junit(report: &Report, suite: &str) -> String {
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" skipped=\"{}\"",
        report.ran.len(),
        count(report, "failed"),
        count(report, "skipped")
    );
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n\
         <testsuite name=\"{}\" {counts}>\n",
        escaped(suite)
    );
    for ran in &report.ran {
        let name = format!("{}: {}", ran.check.id, ran.check.name);
        let inner = match &ran.verdict {
            Verdict::Passed => String::new(),
            Verdict::NotTried(why) => {
                format!("<skipped message=\"{}\"/>", escaped(why))
            }
            Verdict::Failed { finding, .. } => {
                let message = format!(
                    "expected {}, got {}",
                    finding.expected, finding.got
                );
                let lines =
                    anstream::adapter::strip_str(&ran.to_string()).to_string();
                format!(
                    "<failure message=\"{}\">{}</failure>",
                    escaped(&message),
                    escaped(&lines)
                )
            }
        };
        let step = ran.check.step;
        // A String takes any text.
        let _ = writeln!(
            text,
            "<testcase classname=\"step {step}\" name=\"{}\">{inner}</testcase>",
            escaped(&name)
        );
    }
    text + "</testsuite>\n</testsuites>\n"
}

/// A text for an attribute or an element. XML 1.0 has no place for most control
/// characters, not even escaped.
fn escaped(text: &str) -> String {
    let mut xml = String::new();
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\n' | '\t' => xml.push_str(&format!("&#{};", u32::from(c))),
            c if c.is_control() => xml.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => xml.push('\u{fffd}'),
            c => xml.push(c),
        }
    }
    xml
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::checks;
    use crate::finding::{Fault, wrong};
    use crate::plugin::Log;

    fn report() -> Report {
        let program = std::env::current_exe().unwrap();
        let mut report = Report::new(&program, 7);
        let mut checks = checks::all();
        for outcome in [
            Ok(()),
            Err(Fault::NotTried("no <strace>".to_owned())),
            Err(wrong("a & b", "\"one\"", "two\u{1}\u{1b}[2J")),
        ] {
            let verdict = Verdict::of(outcome, &Log::default()).unwrap();
            report.add(checks.next().unwrap(), verdict);
        }
        report
    }

    #[test]
    fn json_has_each_check_with_its_verdict() {
        let value = json(&report());
        assert_eq!(value["format"], FORMAT);
        assert_eq!(
            (&value["passed"], &value["failed"], &value["skipped"]),
            (&json!(1), &json!(1), &json!(1))
        );
        let checks = value["checks"].as_array().unwrap();
        assert_eq!(checks[0]["verdict"], "passed");
        assert_eq!(checks[1]["because"], "no <strace>");
        assert_eq!(checks[2]["expected"], "\"one\"");
        assert_eq!(checks[2]["id"], checks::all().nth(2).unwrap().id);
        assert!(checks[2]["fix"].is_string(), "{}", checks[2]);
    }

    #[test]
    fn junit_is_xml_whatever_a_plugin_says() {
        let xml = junit(&report(), "step 1 <");
        let document = roxmltree::Document::parse(&xml).unwrap();
        let all = |name: &'static str| {
            document.descendants().filter(move |it| it.has_tag_name(name))
        };
        assert_eq!(all("testcase").count(), 3);
        let suite = all("testsuite").next().unwrap();
        assert_eq!(suite.attribute("failures"), Some("1"));
        assert_eq!(suite.attribute("name"), Some("step 1 <"));
        let skipped = all("skipped").next().unwrap();
        assert_eq!(skipped.attribute("message"), Some("no <strace>"));
        let failure = all("failure").next().unwrap();
        let message = failure.attribute("message").unwrap();
        assert!(message.starts_with("expected \"one\", got two"), "{message}");
        assert!(failure.text().unwrap().contains("a & b"), "{xml}");
    }
}
