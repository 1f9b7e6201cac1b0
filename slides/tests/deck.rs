//! Checks the chapters against the sources and the rules, and wrong chapters
//! for their messages.

use std::fs;
use std::path::Path;

use slides::chapter::Deck;
use slides::fence::CodeKind;
use slides::pdf::Scratch;
use slides::{build, html, page, rules, site};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("below the workspace")
}

#[test]
fn every_chapter_is_well_formed_and_its_code_stands_in_the_sources() {
    let deck = Deck::read(root()).unwrap();
    assert_eq!(deck.problems, [], "{}", lines(&deck.problems));
    assert!(deck.slides().count() > 30, "a deck, and not an empty one");
}

#[test]
fn every_slide_keeps_the_rules() {
    let broken = rules::broken(&Deck::read(root()).unwrap());
    assert_eq!(broken, [], "{}", lines(&broken));
}

#[test]
fn a_command_that_no_test_runs_says_why() {
    let deck = Deck::read(root()).unwrap();
    let mut reasons = Vec::new();
    for (chapter, slide) in deck.slides() {
        for code in &slide.code {
            if let CodeKind::Sh(Some(why)) = &code.kind {
                let place = format!("slides/{}:{}", chapter.file, code.line);
                assert!(why.len() > 10, "{place}: a reason is a few words");
                reasons.push(format!("{place}: {why}"));
            }
        }
    }
    println!("{} commands that no test runs:", reasons.len());
    println!("{}", reasons.join("\n"));
    assert!(reasons.len() <= deck.chapters.len(), "{reasons:#?}");
}

#[test]
fn the_readme_has_the_minutes_of_the_chapters() {
    let deck = Deck::read(root()).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for chapter in deck.chapters.iter().filter(|it| it.step > 0) {
        let row = format!("| [{:02} ", chapter.step);
        let row = readme.lines().find(|line| line.starts_with(&row));
        let row = row.unwrap_or_else(|| panic!("no row of {}", chapter.file));
        let minutes = format!("| {} |", chapter.minutes);
        assert!(row.ends_with(&minutes), "{row}\nwanted: {minutes}");
    }
    let words: Vec<_> = readme.split_whitespace().collect();
    for last in [4, 6, 8] {
        let chapters = deck.chapters.iter().filter(|it| it.step <= last);
        let sum: f64 = chapters.map(|it| it.minutes).sum();
        let sum = sum.to_string();
        let said = words.iter().any(|word| word.trim_end_matches('.') == sum);
        assert!(said, "README.md does not say that 0 to {last} take {sum}");
    }
}

#[test]
fn each_style_sheet_and_script_exists() {
    for file in site::LOOK {
        assert!(root().join(file).is_file(), "{file}");
    }
}

/// A chapter without a mistake, to make one in.
const GOOD: &str = "---
step: 1
minutes: 3
---

# One opens the chapter

Note:
minutes: 1

Say so.

---

## Two shows some code

```sh
make two
```

Note:
minutes: 1

Say so, too.

---

## Three ends the chapter

Note:
minutes: 1

Say good-bye.
";

#[test]
fn a_mistake_breaks_only_its_slide_and_names_its_line() {
    const CASES: [(&str, &str, usize, &str); 21] = [
        ("step: 1", "stop: 1", 2, "neither `step: N` nor"),
        ("step: 1", "step: one", 2, "neither `step: N` nor"),
        ("---\nstep: 1\nminutes: 3\n---\n", "", 1, "starts with ---"),
        ("minutes: 3\n", "", 1, "no `minutes: N`"),
        ("two\n```", "two", 17, "never closed"),
        ("two\n```", "two\n\n```sh\nmake 3\n```", 17, "never closed"),
        ("```sh", "```shell", 17, "not one of rust FILE"),
        ("```sh", "```rust", 17, "name the file"),
        (
            "```sh",
            "```rust solutions/no.rs",
            17,
            "no such file: solutions/no.rs",
        ),
        (
            "```sh\nmake two",
            "```rust solutions/01-activate/src/main.rs\nmod server;\n// ...\nmod no;",
            20,
            "solutions/01-activate/src/main.rs has no such line here: `mod no;`",
        ),
        (
            "```sh\nmake two",
            "```mermaid\nsequenceDiagram\nparticipant A\nA-xB: bye",
            20,
            "not understood",
        ),
        ("```sh", "```console", 17, "starts with `$ COMMAND`"),
        (
            "```sh",
            "[x](../no.md)\n\n```sh",
            17,
            "no file for the link ../no.md",
        ),
        ("```sh", "[x](../../etc/passwd)\n\n```sh", 17, "no file for the link"),
        ("```sh", "<b>x</b>\n\n```sh", 17, "HTML is not allowed"),
        ("```sh", "![](bench.svg)\n\n```sh", 17, "say in the brackets"),
        ("```sh", "![it](x.svg)\n\n```sh", 17, "an SVG file beside"),
        ("```sh", "![it](README.md)\n\n```sh", 17, "an SVG file beside"),
        ("## Two shows some code\n", "", 16, "starts with its title"),
        ("too.", "[too](../no.md)", 24, "no file for the link ../no.md"),
        ("Note:\nminutes: 1\n\nSay so, too.\n", "", 22, "no `Note:`"),
    ];
    for (right, wrong, line, expected) in CASES {
        assert!(GOOD.contains(right), "{right}");
        let deck = read(&GOOD.replacen(right, wrong, 1));
        let found = &deck.problems;
        let told = lines(found);
        assert!(found[0].text.contains(expected), "{wrong}: {told}");
        assert_eq!(found[0].line, line, "{wrong}: {told}");
        let page = page::page(&deck, false);
        let shown = html::escape(&found[0].to_string());
        assert!(page.contains(&shown), "{wrong}: {told} is not on the page");
        for other in ["One opens the chapter", "Three ends the chapter"] {
            assert!(page.contains(other), "{wrong} hides {other:?}");
        }
    }
}

#[test]
fn a_chapter_without_a_mistake_has_no_problem() {
    assert_eq!(read(GOOD).problems, []);
    // A rule in a fence cuts no slide.
    let fenced = GOOD.replace("make two", "make two\n\n---\n\nNote:\n\nmake 3");
    assert_eq!(read(&fenced).slides().count(), 3);
}

#[test]
fn a_picture_is_a_part_of_the_page() {
    let picture = "![It shows <ratios>](bench.svg)\n\n";
    let deck = read(&GOOD.replacen("```sh", &format!("{picture}```sh"), 1));
    assert_eq!(deck.problems, []);
    let slide = &deck.chapters[0].slides[1];
    assert_eq!(slide.pictures, 1);
    assert!(slide.body.contains("<svg "), "{}", slide.body);
    // Its words are no words of the slide, and it is a block.
    assert!(!slide.prose.contains("ratios"), "{}", slide.prose);
    let broken = lines(&rules::broken(&deck));
    assert!(broken.contains("a slide has one block"), "{broken}");
}

#[test]
fn each_broken_rule_is_named() {
    const CASES: [(&str, &str, &str); 10] = [
        ("Two shows some code", "Two", "a sentence"),
        ("Two shows some code", "Two shows some code.", "full stop"),
        (
            "Two shows some code",
            "Two shows some code that is a title of two lines",
            "48 characters, over 44",
        ),
        (
            "```sh",
            "a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e\n\n```sh",
            "31 words, over 30",
        ),
        (
            "make two",
            "12345678901234567890123456789012345678901234567890123456789012345678901234567",
            "77 columns, over 76",
        ),
        (
            "make two",
            "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16",
            "16 lines of code, over 15",
        ),
        (
            "make two\n```",
            "make two\n```\n\n```sh\nx\n```",
            "a slide has one block",
        ),
        (
            "```sh\nmake two\n```",
            "| a | b |\n|---|---|\n| c | This is not a cell, it is a sentence |",
            "a cell must not be a sentence",
        ),
        (
            "```sh\nmake two\n```",
            "| a | b | c | d |\n|---|---|---|---|\n| 1 | 2 | 3 | 4 |",
            "1 rows and 4 columns",
        ),
        ("minutes: 3", "minutes: 4", "take 3 minutes, the chapter announces 4"),
    ];
    for (right, wrong, expected) in CASES {
        let deck = read(&GOOD.replacen(right, wrong, 1));
        assert_eq!(deck.problems, [], "{wrong}");
        let told = lines(&rules::broken(&deck));
        assert!(told.contains(expected), "{wrong}: {told}");
    }
}

#[test]
fn a_chapter_of_a_step_has_a_guess_a_task_and_a_review() {
    let told = lines(&rules::broken(&read(GOOD)));
    for missing in ["predict", "task", "review", "what-if"] {
        assert!(told.contains(&format!("no {missing} slide")), "{told}");
    }
    let task = GOOD.replacen("Two shows some code", "Your turn: hole 1.1", 1);
    let told = lines(&rules::broken(&read(&task)));
    assert!(told.contains("does not say \"1 minutes\""), "{told}");
}

#[test]
fn two_slides_with_one_title_are_a_mistake() {
    let folder = Scratch::new().unwrap();
    let slides = folder.path().join("slides");
    fs::create_dir(&slides).unwrap();
    let twice = GOOD.replace("Three ends the chapter", "Two shows some code");
    fs::write(slides.join("01-x.md"), twice).unwrap();
    let deck = Deck::read(folder.path()).unwrap();
    let told = lines(&deck.problems);
    assert!(
        told.contains("01-x.md:28: another slide has the address 01-two-shows"),
        "{told}"
    );
}

#[test]
fn a_built_folder_has_every_file_that_its_page_links_to() {
    let folder = Scratch::new().unwrap();
    let to = folder.path().join("deck");
    build::build(root(), &to).unwrap();
    let page = fs::read_to_string(to.join("index.html")).unwrap();
    let mut asked = 0;
    for part in page.split([' ', '<']) {
        let path = part.strip_prefix("href=\"").or(part.strip_prefix("src=\""));
        let path = path.and_then(|it| it.split('"').next()).unwrap_or("#");
        if path.starts_with(['#', 'd']) || path.starts_with("https:") {
            continue;
        }
        assert!(to.join(path).is_file(), "{path} is missing");
        asked += 1;
    }
    assert!(asked > 6, "links were found at all: {asked}");
    let again = build::build(root(), &to).unwrap_err().to_string();
    assert!(again.contains("is not empty"), "{again}");
}

fn read(text: &str) -> Deck {
    let mut deck =
        Deck { root: root().into(), chapters: vec![], problems: vec![] };
    deck.add("01-good.md", text);
    deck
}

fn lines(problems: &[slides::chapter::Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
