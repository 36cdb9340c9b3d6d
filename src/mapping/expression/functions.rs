//! The functions that an expression can call.

mod dates;
mod ids;
pub(super) mod numbers;
mod private;
mod texts;

use std::sync::Arc;

use super::val::{Val, Why};

/// One function, as it is documented and as it runs.
pub struct Function {
    pub name: &'static str,
    /// As in the documentation: `left(text, count)`.
    pub signature: &'static str,
    /// One line.
    pub about: &'static str,
    /// An expression that is true; a test proves it.
    pub example: &'static str,
    pub(super) least: usize,
    pub(super) most: usize,
    pub(super) form: Form,
}

/// How a call is evaluated.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// A null among its arguments makes the answer null.
    Strict(Run),
    /// It is a question, and nothing (null) answers it with false.
    Asks(Run),
    /// It is handed nulls too.
    Sees(Run),
    /// It looks at its arguments one by one.
    Special(Special),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Special {
    Has,
    Coalesce,
    Matches,
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}

type Run = fn(&Surroundings<'_>, &[Val]) -> Result<Val, Why>;

/// What a function sees beside its arguments.
pub(super) struct Surroundings<'a> {
    pub hash_key: Option<&'a [u8]>,
}

/// No field of an org holds more than 131,072 characters.
pub(super) const MAX_TEXT: usize = 1_000_000;

const fn strict(
    name: &'static str,
    (least, most): (usize, usize),
    signature: &'static str,
    about: &'static str,
    example: &'static str,
    run: Run,
) -> Function {
    Function { name, signature, about, example, least, most, form: Form::Strict(run) }
}

const fn asks(
    name: &'static str,
    (least, most): (usize, usize),
    signature: &'static str,
    about: &'static str,
    example: &'static str,
    run: Run,
) -> Function {
    Function { name, signature, about, example, least, most, form: Form::Asks(run) }
}

const fn sees(
    name: &'static str,
    (least, most): (usize, usize),
    signature: &'static str,
    about: &'static str,
    example: &'static str,
    run: Run,
) -> Function {
    Function { name, signature, about, example, least, most, form: Form::Sees(run) }
}

const fn special(
    name: &'static str,
    (least, most): (usize, usize),
    signature: &'static str,
    about: &'static str,
    example: &'static str,
    special: Special,
) -> Function {
    Function { name, signature, about, example, least, most, form: Form::Special(special) }
}

/// As many as fit in a source.
const MANY: usize = usize::MAX;

/// Every function, in the order of the documentation. Where nothing else is said, null in is null out.
#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    // Nothing.
    special("has", (1, 1), "has(field)", "the field is not empty (null)", r#"has("x") && !has(null)"#, Special::Has),
    sees("blank", (1, 1), "blank(x)", "x is null, or text of nothing but white space", r#"blank("  ") && blank(null) && !blank("x")"#, |_, args| Ok(Val::Bool(texts::is_blank(&args[0])))),
    special("coalesce", (1, MANY), "coalesce(a, b, …)", "the first that is not null; null if all are", r#"coalesce(null, "b", "c") == "b""#, Special::Coalesce),
    special("default", (2, 2), "default(x, y)", "x, or y where x is null", r#"default(null, 0) == 0"#, Special::Coalesce),
    sees("null_if", (2, 2), "null_if(x, y)", "null where x equals y, else x", r#"null_if("n/a", "n/a") == null"#, |_, args| Ok(if args[0].equals(&args[1]) { Val::Null } else { args[0].clone() })),
    sees("lookup", (3, 3), "lookup(table, x, y)", "the table's entry for x, or y where it has none", r#"lookup({"Hot": 1}, "Cold", 9) == 9"#, texts::lookup),
    // Text.
    strict("upper", (1, 1), "upper(text)", "in capitals, of all alphabets", r#"upper("Zoë") == "ZOË""#, texts::upper),
    strict("lower", (1, 1), "lower(text)", "in small letters, of all alphabets", r#"lower("ÄRGER") == "ärger""#, texts::lower),
    strict("initial_caps", (1, 1), "initial_caps(text)", "each word with a capital and then small letters", r#"initial_caps("ANNA-LENA o. weiß") == "Anna-Lena O. Weiß""#, texts::initial_caps),
    strict("trim", (1, 1), "trim(text)", "without white space at both ends", r#"trim("  x ") == "x""#, texts::trim),
    strict("left", (2, 2), "left(text, count)", "its first characters", r#"left("Zürich", 2) == "Zü""#, texts::left),
    strict("right", (2, 2), "right(text, count)", "its last characters", r#"right("Zürich", 3) == "ich""#, texts::right),
    strict("substring", (2, 3), "substring(text, from, to)", "from the character after `from`, up to the one numbered `to`, or to its end", r#"substring("Zürich", 1, 3) == "ür" && substring("Zürich", 4) == "ch""#, texts::substring),
    strict("replace", (3, 3), "replace(text, old, new)", "each `old` in it becomes `new`", r#"replace("a-b-c", "-", "") == "abc""#, texts::replace),
    strict("pad_left", (3, 3), "pad_left(text, width, fill)", "filled up from the left to so many characters; takes a number too", r#"pad_left(42, 6, "0") == "000042""#, texts::pad_left),
    sees("split", (2, 2), "split(text, separator)", "the list of its pieces; null is an empty list", r#"split("a;b", ";") == ["a", "b"] && split(null, ";") == []"#, texts::split),
    sees("join", (2, 2), "join(list, separator)", "the values of the list in one text, empty ones left out; null if none is left", r#"join(["Ann", null, "Lee"], " ") == "Ann Lee" && join([], ";") == null"#, texts::join),
    strict("size", (1, 1), "size(x)", "how many characters a text has, or entries a list or table", r#"size("Zoë") == 3 && size([1, 2]) == 2"#, texts::size),
    strict("text", (1, 1), "text(x)", "a number, date or true/false as plain text", r#"text(12.50) == "12.5" && text(true) == "true""#, |_, args| args[0].plain().map(Val::Text)),
    asks("contains", (2, 2), "contains(text, part)", "part is in it, spelled alike; false for null", r#"contains("Acme GmbH", "GmbH") && !contains(null, "x")"#, texts::contains),
    asks("startsWith", (2, 2), "startsWith(text, start)", "it starts so; false for null", r#""Acme".startsWith("Ac")"#, texts::starts_with),
    asks("endsWith", (2, 2), "endsWith(text, end)", "it ends so; false for null", r#""Acme".endsWith("me")"#, texts::ends_with),
    special("matches", (2, 2), "matches(text, pattern)", "the regular expression (a text in quotes) is found in it; false for null", r#"matches("D-10115", "^D-[0-9]{5}$")"#, Special::Matches),
    // Numbers.
    strict("number", (1, 1), "number(text)", "the number that is written there", r#"number(" 12.50 ") == 12.5"#, numbers::number),
    strict("round", (1, 2), "round(x, digits)", "to so many digits after the point (none if not said); half goes away from zero", r#"round(2.345, 2) == 2.35 && round(-2.5) == -3"#, numbers::round),
    strict("floor", (1, 1), "floor(x)", "the next whole number below", r#"floor(-1.5) == -2"#, numbers::floor),
    strict("ceil", (1, 1), "ceil(x)", "the next whole number above", r#"ceil(1.2) == 2"#, numbers::ceil),
    strict("abs", (1, 1), "abs(x)", "without its sign", r#"abs(-3) == 3"#, numbers::abs),
    strict("min", (2, MANY), "min(a, b, …)", "the least: numbers, texts or dates", r#"min(3, 1.5, 2) == 1.5"#, numbers::min),
    strict("max", (2, MANY), "max(a, b, …)", "the greatest: numbers, texts or dates", r#"max(date("2024-01-31"), date("2024-02-01")) == date("2024-02-01")"#, numbers::max),
    // Dates.
    strict("date", (1, 1), "date(x)", "a date; of a date and time its day in UTC", r#"date("2024-01-31T23:30:00.000Z") == date("2024-01-31")"#, dates::date),
    strict("datetime", (1, 1), "datetime(x)", "a moment, from text with a time zone; a date is its midnight in UTC", r#"datetime("2024-01-31T12:00:00+01:00") == datetime("2024-01-31T11:00:00.000Z")"#, dates::datetime),
    strict("year", (1, 1), "year(x)", "the year of a date or moment, in UTC", r#"year("2024-01-31") == 2024"#, dates::year),
    strict("month", (1, 1), "month(x)", "its month, 1 to 12, in UTC", r#"month("2024-01-31") == 1"#, dates::month),
    strict("day", (1, 1), "day(x)", "its day of the month, in UTC", r#"day("2024-01-31") == 31"#, dates::day),
    strict("add_days", (2, 2), "add_days(x, days)", "so many days later; fewer than 0: earlier", r#"add_days("2024-02-28", 2) == date("2024-03-01")"#, dates::add_days),
    strict("add_months", (2, 2), "add_months(x, months)", "so many months later, at the latest on the last day of that month", r#"add_months("2024-01-31", 1) == date("2024-02-29")"#, dates::add_months),
    strict("days_between", (2, 2), "days_between(a, b)", "days from a to b, counted in UTC; below 0 where b is earlier", r#"days_between("2024-02-28", "2024-03-01") == 2"#, dates::days_between),
    strict("format_date", (2, 2), "format_date(x, pattern)", "in the pattern's form (yyyy yy MM M dd d HH H mm ss SSS, other letters in '…'), in UTC", r#"format_date("2024-01-31", "dd.MM.yyyy") == "31.01.2024""#, dates::format_date),
    // Ids.
    strict("id15", (1, 1), "id15(id)", "a record id in its form of 15 characters", r#"id15("001D000000IqhSLIAZ") == "001D000000IqhSL""#, ids::id15),
    strict("id18", (1, 1), "id18(id)", "a record id in its form of 18 characters", r#"id18("001D000000IqhSL") == "001D000000IqhSLIAZ""#, ids::id18),
    asks("same_id", (2, 2), "same_id(a, b)", "both are the id of one record, in either form; false for null", r#"same_id("001D000000IqhSL", "001D000000IqhSLIAZ")"#, ids::same_id),
    // Privacy.
    strict("hash", (1, 1), "hash(x)", "a keyed hash (HMAC-SHA256, 64 hexadecimal digits): equal for equal values, and not to be turned back", r#"size(hash("x")) == 64 && hash("x") == hash("x")"#, private::hash),
    strict("mask", (1, 1), "mask(text)", "all but the first and last character as *; an e-mail address keeps its domain; up to 3 characters: all *", r#"mask("Miller") == "M****r" && mask("anna@acme.com") == "a**a@acme.com""#, private::mask),
    // Lists.
    special("all", (3, 3), "list.all(x, test)", "the test holds for each x of the list", r#"["a", "b"].all(x, size(x) == 1)"#, Special::All),
    special("exists", (3, 3), "list.exists(x, test)", "the test holds for at least one x", r#"split("Golf;Chess", ";").exists(x, x == "Golf")"#, Special::Exists),
    special("exists_one", (3, 3), "list.exists_one(x, test)", "the test holds for exactly one x", r#"[1, 2, 3].exists_one(x, x > 2)"#, Special::ExistsOne),
    special("map", (3, 4), "list.map(x, y)", "the list of y for each x; map(x, test, y): where the test holds", r#"[1, 2].map(x, x * 2) == [2, 4]"#, Special::Map),
    special("filter", (3, 3), "list.filter(x, test)", "the list of those for which the test holds", r#"[1, 2, 3].filter(x, x != 2) == [1, 3]"#, Special::Filter),
];

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

impl Function {
    /// Answers a call whose arguments are known. Special forms never come here.
    pub(super) fn call(&self, surroundings: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
        let (run, on_null) = match self.form {
            Form::Strict(run) => (run, Some(Val::Null)),
            Form::Asks(run) => (run, Some(Val::Bool(false))),
            Form::Sees(run) => (run, None),
            Form::Special(_) => return Err(Why::new("is no function")),
        };
        match on_null {
            Some(answer) if args.iter().any(Val::is_null) => Ok(answer),
            _ => run(surroundings, args),
        }
    }
}

/// The argument at this place as text. The number of arguments was checked when the expression was compiled.
fn text(args: &[Val], at: usize) -> Result<&Arc<str>, Why> {
    match &args[at] {
        Val::Text(text) => Ok(text),
        other => Err(needs("text", at, other, if matches!(other, Val::Number(_)) { ": write `text(…)`" } else { "" })),
    }
}

fn needs(what: &str, at: usize, got: &Val, remedy: &str) -> Why {
    let place = ["first", "second", "third"].get(at).copied().unwrap_or("last");
    Why(format!("needs {what} as its {place} argument, and got {}{remedy}", got.kind()))
}

fn number(args: &[Val], at: usize) -> Result<&super::number::Number, Why> {
    match &args[at] {
        Val::Number(number) => Ok(number),
        other => {
            Err(needs("a number", at, other, if matches!(other, Val::Text(_)) { ": write `number(…)`" } else { "" }))
        }
    }
}

fn whole(args: &[Val], at: usize) -> Result<i64, Why> {
    number(args, at)?.whole().ok_or_else(|| {
        let place = ["first", "second", "third"].get(at).copied().unwrap_or("last");
        Why(format!("needs a whole number as its {place} argument, and got a fraction or one too large"))
    })
}

/// How many characters: none where below zero.
fn count(args: &[Val], at: usize) -> Result<usize, Why> {
    Ok(usize::try_from(whole(args, at)?.max(0)).unwrap_or(usize::MAX))
}

fn too_long() -> Why {
    Why(format!("gives more than {MAX_TEXT} characters"))
}
