//! `docs/mapping.md` says nothing that is not so: each of its snippets is completed, checked and tested here, and its
//! table of functions is made from theirs. What `orgbridge map` prints there is compared in `tests/it`.
//!
//! The words behind the three backticks say what a block is: `yaml config`, `yaml pipeline` (keys of a pipeline), `yaml
//! fields`, `yaml tests` (of the snippet before), each with the source object where it is not Account; `cel` (an
//! expression in each line), `sh`, `json` and `text`.

use clap::Parser;

use super::*;
use crate::cli::Cli;
use crate::mapping::expression::FUNCTIONS;
use crate::rehearse::cases;

const TABLE: [&str; 2] =
    ["<!-- functions: made by UPDATE_DOCS=1 cargo test cookbook -->\n", "<!-- end of functions -->"];
/// The first function of each part of the table, and the part's title.
const PARTS: [(&str, &str); 7] = [
    ("has", "Empty fields"),
    ("upper", "Text"),
    ("number", "Numbers"),
    ("date", "Dates"),
    ("id15", "Ids"),
    ("mask", "Privacy"),
    ("all", "Lists"),
];

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mapping.md")
}

fn page() -> String {
    std::fs::read_to_string(path()).unwrap()
}

struct Snippet<'p> {
    /// The words behind the backticks.
    words: Vec<&'p str>,
    text: String,
    line: usize,
}

fn snippets(page: &str) -> Vec<Snippet<'_>> {
    let mut snippets = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(words) = line.strip_prefix("```") else { continue };
        let text: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        let text = text.iter().map(|line| format!("{line}\n")).collect();
        snippets.push(Snippet { words: words.split_whitespace().collect(), text, line: at + 1 });
    }
    snippets
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

/// A whole config around the keys of a pipeline.
fn around(pipeline: &str, object: &str) -> String {
    let name = match object {
        "Opportunity" => "opportunities".to_owned(),
        object => format!("{}s", object.to_lowercase()),
    };
    let keyed = match pipeline.split_once("fields:\n") {
        Some((before, fields)) => format!("{before}fields:\n  Key__c: Id\n{fields}"),
        None => format!("{pipeline}fields: {{ Key__c: Id }}\n"),
    };
    // What fills the key itself is left as it is.
    let keyed = if pipeline.contains("  Key__c:") { pipeline.to_owned() } else { keyed };
    format!(
        "pipelines:\n  - name: {name}\n    from: {{ org: emea, channel: /data/{object}ChangeEvent, object: {object} }}\n    \
         to: {{ org: hq, object: {object}, key: Key__c }}\n{}",
        indented(&keyed, 4)
    )
}

fn orgs() -> String {
    let head = GOOD.split("pipelines:").next().unwrap();
    head.to_owned()
}

#[test]
fn every_snippet_of_the_cookbook_is_good_and_does_what_its_tests_say() {
    let page = page();
    let (mut config, mut checked) = (String::new(), 0);
    for Snippet { words, text, line } in snippets(&page) {
        let place = format!("docs/mapping.md:{line}");
        match words.as_slice() {
            ["yaml", "config"] => config = text,
            ["yaml", "pipeline"] => config = around(&text, "Account"),
            ["yaml", "fields"] => config = around(&format!("fields:\n{}", indented(&text, 2)), "Account"),
            ["yaml", "pipeline", object] => config = around(&text, object),
            ["yaml", "fields", object] => config = around(&format!("fields:\n{}", indented(&text, 2)), object),
            ["yaml", "tests"] => {
                let tested = format!("{}{config}tests:\n{}", orgs(), indented(&text, 2));
                let config = read(&tested).unwrap_or_else(|problems| panic!("{place}: {problems}"));
                assert!(!config.cases.is_empty(), "{place}");
                for ran in cases::run(&config) {
                    let differences: Vec<_> = ran.differences.iter().map(ToString::to_string).collect();
                    assert!(differences.is_empty(), "{place}: {}: {differences:#?}", ran.case.name);
                    checked += 1;
                }
                continue;
            }
            ["cel"] => {
                for source in text.lines() {
                    Expression::compile(source).unwrap_or_else(|problems| panic!("{place}: {source}: {problems:?}"));
                }
                continue;
            }
            ["sh"] => {
                for command in text.lines().filter(|line| line.starts_with("orgbridge")) {
                    let words = command.split('<').next().unwrap().split_whitespace();
                    Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{place}: {command}: {error}"));
                }
                continue;
            }
            // What a program prints, or is given.
            ["text", ..] | ["json", "event", _, _] => continue,
            other => panic!("{place}: nobody checks a block of {other:?}"),
        }
        read(&format!("{}{config}", orgs())).unwrap_or_else(|problems| panic!("{place}: {problems}"));
    }
    assert!(checked >= 20, "only {checked} tests were found");
}

#[test]
fn the_cookbook_lists_every_function() {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut table = String::new();
    for function in FUNCTIONS {
        if let Some((_, title)) = PARTS.iter().find(|(first, _)| *first == function.name) {
            table.push_str(&format!("\n**{title}**\n\n| | | |\n|---|---|---|\n"));
        }
        let (signature, about, example) = (cell(function.signature), cell(function.about), cell(function.example));
        table.push_str(&format!("| `{signature}` | {about} | `{example}` |\n"));
    }
    table.push('\n');
    for (first, _) in PARTS {
        assert!(FUNCTIONS.iter().any(|function| function.name == first), "{first}");
    }
    let page = page();
    let (before, rest) = page.split_once(TABLE[0]).unwrap();
    let (now, after) = rest.split_once(TABLE[1]).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path(), format!("{before}{}{table}{}{after}", TABLE[0], TABLE[1])).unwrap();
        return;
    }
    assert!(now == table, "docs/mapping.md has another table of functions: UPDATE_DOCS=1 cargo test cookbook");
}
