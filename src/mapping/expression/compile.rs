//! From the parser's tree to what can be evaluated; whatever can be found wrong without a record is found here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, MapExpr, SelectExpr, SourceInfo, operators};
use regex::RegexBuilder;

use super::evaluate::Evaluation;
use super::functions::{self, FUNCTIONS, Form, Function, Special};
use super::node::{Fold, FoldKind, HeaderPart, Node, Operator};
use super::number::Number;
use super::val::Val;
use super::{ExpressionProblem, MAX_DEPTH, Nothing, Unevaluated, parse, scan};
use crate::event::{Decimal, FieldPath};
use crate::text::closest;

/// The header of a change, as a name.
const HEADER: &str = "change";
/// One `map` within another is enough for a record.
const MAX_FOLDS: usize = 2;
/// A thousand terms joined by `&&`, which the parser makes a balanced tree, are so deep.
const BALANCED: usize = 10;

pub(super) struct Compiled {
    pub root: Node,
    pub reads: BTreeSet<FieldPath>,
    pub reads_header: bool,
    pub hashes: bool,
}

pub(super) fn compile(source: &str) -> Result<Compiled, Vec<ExpressionProblem>> {
    let problems = scan::scan(source);
    if !problems.is_empty() {
        return Err(problems);
    }
    let (tree, places) = parse::parse(source)?;
    let mut compiler = Compiler {
        source,
        places,
        problems: Vec::new(),
        locals: Vec::new(),
        fields: Vec::new(),
        reads_header: false,
        hashes: false,
        depth: 0,
        keep_index: false,
    };
    let root = compiler.node(&tree);
    if let Some(kind @ ("a list" | "a table")) = root.as_ref().and_then(Node::kind) {
        let remedy =
            if kind == "a list" { "write `join(…, \";\")`" } else { "look something up in it: `{…}[Field]`" };
        compiler.find(0..source.len(), format!("this gives {kind}, which no field can hold"), remedy);
    }
    match root {
        Some(root) if compiler.problems.is_empty() => {
            let reads = compiler.fields.into_iter().collect();
            Ok(Compiled { root, reads, reads_header: compiler.reads_header, hashes: compiler.hashes })
        }
        _ => {
            compiler.problems.sort_by_key(|problem| problem.span.start);
            Err(compiler.problems)
        }
    }
}

struct Compiler<'s> {
    source: &'s str,
    places: SourceInfo,
    problems: Vec<ExpressionProblem>,
    locals: Vec<String>,
    fields: Vec<FieldPath>,
    reads_header: bool,
    hashes: bool,
    depth: usize,
    /// The next node is under `has()`, where an entry that is missing is no failure.
    keep_index: bool,
}

/// `None`: a problem was noted.
type Made = Option<Node>;

impl Compiler<'_> {
    fn find(&mut self, span: Range<usize>, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(ExpressionProblem { span, message: message.into(), remedy: remedy.into() });
    }

    /// Where the token stands to which the parser pinned a node: a name, a literal, an operator, an opening bracket.
    fn token(&self, id: u64) -> Range<usize> {
        let Some((start, stop)) = self.places.offset_for(id) else { return 0..self.source.len() };
        let start = usize::try_from(start).unwrap_or(0);
        let end = usize::try_from(stop).unwrap_or(0).saturating_add(1);
        if self.source.get(start..end).is_some() { start..end } else { 0..self.source.len() }
    }

    /// The name before an opening bracket.
    fn callee(&self, id: u64, name: &str) -> Range<usize> {
        let open = self.token(id);
        let before = self.source.get(..open.start).unwrap_or_default().trim_end();
        if before.ends_with(name) { before.len() - name.len()..before.len() } else { open }
    }

    fn node(&mut self, tree: &IdedExpr) -> Made {
        self.depth += 1;
        let made = if self.depth > MAX_DEPTH + BALANCED {
            self.find(self.token(tree.id), "this is nested too deep", "write it in smaller parts");
            None
        } else {
            self.node_within(tree)
        };
        self.depth -= 1;
        made
    }

    fn node_within(&mut self, tree: &IdedExpr) -> Made {
        let keep = std::mem::take(&mut self.keep_index);
        match &tree.expr {
            Expr::Literal(literal) => self.literal(tree.id, literal),
            Expr::Ident(name) => self.name(tree.id, name),
            Expr::Select(select) => self.select(tree, select, keep),
            Expr::Call(call) => self.call(tree.id, call, keep),
            Expr::List(list) => {
                let nodes = self.nodes(&list.elements)?;
                Some(constant(Node::List(nodes)))
            }
            Expr::Map(map) => self.table(map),
            Expr::Struct(made) => {
                let message = format!("`{}{{…}}` makes nothing", made.type_name);
                self.find(self.token(tree.id), message, "write a table: `{\"A\": \"B\"}`");
                None
            }
            Expr::Comprehension(_) | Expr::Unspecified => {
                self.find(self.token(tree.id), "this cannot be read as an expression", "write it in smaller parts");
                None
            }
        }
    }

    /// All of them, so that all problems are found.
    fn nodes(&mut self, trees: &[IdedExpr]) -> Option<Vec<Node>> {
        let made: Vec<Made> = trees.iter().map(|tree| self.node(tree)).collect();
        made.into_iter().collect()
    }

    fn two(&mut self, left: &IdedExpr, right: &IdedExpr) -> Option<Box<[Node; 2]>> {
        let (left, right) = (self.node(left), self.node(right));
        Some(Box::new([left?, right?]))
    }

    fn literal(&mut self, id: u64, literal: &LiteralValue) -> Made {
        let val = match literal {
            LiteralValue::Null => Val::Null,
            LiteralValue::Boolean(bool) => Val::Bool(*bool.inner()),
            LiteralValue::String(text) => Val::text(text.inner()),
            LiteralValue::Int(int) => Val::Number(Number::from(*int.inner())),
            LiteralValue::UInt(_) => {
                self.find(self.token(id), "a number here has no letter behind it", "write the digits alone");
                return None;
            }
            // The parser has rounded it to 16 digits; the source has them all.
            LiteralValue::Double(double) => {
                let token = self.token(id);
                let written = self.source.get(token.clone()).unwrap_or_default().parse::<Decimal>();
                let Ok(decimal) = written else {
                    self.find(token, "this number cannot be held", "write fewer digits");
                    return None;
                };
                let number = Number::read(&decimal);
                // The sign is no part of the token.
                let negative = double.inner().is_sign_negative();
                match if negative { number.negated() } else { Ok(number) } {
                    Ok(number) => Val::Number(number),
                    Err(_) => {
                        self.find(token, "this number has more than 28 digits", "write fewer digits");
                        return None;
                    }
                }
            }
            LiteralValue::Bytes(_) => {
                self.find(self.token(id), "there are no bytes here", "write the text alone");
                return None;
            }
        };
        Some(Node::Const(val))
    }

    fn name(&mut self, id: u64, name: &str) -> Made {
        if let Some(at) = self.locals.iter().rposition(|local| local == name) {
            return Some(Node::Local(at));
        }
        if name == HEADER {
            let parts: Vec<&str> = HeaderPart::ALL.iter().map(|(name, _)| *name).collect();
            let remedy = format!("write {HEADER}.{}", parts.join(&format!(" or {HEADER}.")));
            self.find(self.token(id), format!("`{HEADER}` alone is no value"), remedy);
            return None;
        }
        self.field(self.token(id), name)
    }

    fn field(&mut self, span: Range<usize>, name: &str) -> Made {
        match name.parse::<FieldPath>() {
            Ok(path) => {
                let at = self.fields.iter().position(|known| *known == path).unwrap_or_else(|| {
                    self.fields.push(path.clone());
                    self.fields.len() - 1
                });
                Some(Node::Field(path, at))
            }
            Err(_) => {
                self.find(
                    span,
                    format!("`{name}` cannot be a field"),
                    "write Field, or Compound.Part as in BillingAddress.City",
                );
                None
            }
        }
    }

    /// `BillingAddress.City`, `change.user`, `{…}.key`
    fn select(&mut self, tree: &IdedExpr, select: &SelectExpr, keep: bool) -> Made {
        let end = self.end_of_select(tree.id, &select.field);
        if let Expr::Ident(root) = &select.operand.expr {
            let span = self.token(select.operand.id).start..end;
            if !self.locals.contains(root) {
                if root == HEADER {
                    return self.header(span, &select.field);
                }
                return self.field(span, &format!("{root}.{}", select.field));
            }
        }
        if let Some(name) =
            plain_path(tree).filter(|name| !self.locals.iter().any(|local| name.split('.').next() == Some(local)))
        {
            let remedy = "a change carries fields and parts of compound fields; for a parent's field, map the parent";
            self.find(self.start_of(tree)..end, format!("`{name}` goes too far"), remedy);
            return None;
        }
        let holder = self.node(&select.operand)?;
        let key = Node::Const(Val::text(select.field.as_str()));
        let node = Node::Index(Box::new([holder, key]));
        if keep { Some(node) } else { self.settled(self.token(tree.id), node) }
    }

    fn start_of(&self, tree: &IdedExpr) -> usize {
        match &tree.expr {
            Expr::Select(select) => self.start_of(&select.operand),
            _ => self.token(tree.id).start,
        }
    }

    /// The parser pins a selection to its point; the name follows.
    fn end_of_select(&self, id: u64, field: &str) -> usize {
        let point = self.token(id).end;
        let rest = self.source.get(point..).unwrap_or_default();
        let name = point + rest.len() - rest.trim_start().len();
        if self.source.get(name..).is_some_and(|rest| rest.starts_with(field)) { name + field.len() } else { point }
    }

    fn header(&mut self, span: Range<usize>, part: &str) -> Made {
        self.reads_header = true;
        if let Some((_, part)) = HeaderPart::ALL.iter().find(|(name, _)| *name == part) {
            return Some(Node::Header(*part));
        }
        let names = HeaderPart::ALL.iter().map(|(name, _)| *name);
        let remedy = match part {
            "type" | "changeType" | "change_type" => "did you mean `change.kind`?".to_owned(),
            "origin" | "changeOrigin" => "did you mean `change.client`?".to_owned(),
            "commitUser" | "by" => "did you mean `change.user`?".to_owned(),
            _ => match closest(part, names.clone()) {
                Some(near) => format!("did you mean `{HEADER}.{near}`?"),
                None => format!("it has {}", names.collect::<Vec<_>>().join(", ")),
            },
        };
        self.find(span, format!("a change has no `{part}`"), remedy);
        None
    }

    fn table(&mut self, map: &MapExpr) -> Made {
        let mut entries = Vec::with_capacity(map.entries.len());
        let mut whole = true;
        let mut keys = BTreeMap::new();
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
            match self.two(&entry.key, &entry.value) {
                Some(pair) => {
                    if let Node::Const(key) = &pair[0] {
                        let span = self.token(entry.key.id);
                        match key.key() {
                            Some(key) => {
                                if keys.insert(key, ()).is_some() {
                                    self.find(span, "this key stands in the table already", "remove one of the two");
                                    whole = false;
                                }
                            }
                            None => {
                                let message = format!("a table's key cannot be {}", key.kind());
                                self.find(span, message, "write text, a number or true/false as key");
                                whole = false;
                            }
                        }
                    }
                    entries.push(*pair);
                }
                None => whole = false,
            }
        }
        whole.then(|| constant(Node::Table(entries)))
    }

    fn call(&mut self, id: u64, call: &CallExpr, keep: bool) -> Made {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => Some(Node::Logic(false, self.two(left, right)?)),
            (operators::LOGICAL_OR, [left, right]) => Some(Node::Logic(true, self.two(left, right)?)),
            (operators::LOGICAL_NOT, [of]) => {
                let of = self.node(of)?;
                self.settled(self.token(id), Node::Not(Box::new(of)))
            }
            (operators::NEGATE, [of]) => {
                let of = self.node(of)?;
                self.settled(self.token(id), Node::Negate(Box::new(of)))
            }
            (operators::CONDITIONAL, [test, yes, no]) => {
                let (test, yes, no) = (self.node(test), self.node(yes), self.node(no));
                Some(Node::If(Box::new([test?, yes?, no?])))
            }
            (operators::INDEX, [holder, key]) => {
                // `BillingAddress["City"]` is the part, and no more of the compound.
                if let (Expr::Ident(root), Expr::Literal(LiteralValue::String(part))) = (&holder.expr, &key.expr)
                    && !self.locals.contains(root)
                    && root != HEADER
                {
                    let span = self.token(holder.id).start..self.token(key.id).end;
                    return self.field(span, &format!("{root}.{}", part.inner()));
                }
                let nodes = self.two(holder, key)?;
                let node = Node::Index(nodes);
                if keep { Some(node) } else { self.settled(self.token(id), node) }
            }
            (sign, [left, right]) if operator(sign).is_some() && call.target.is_none() => {
                let nodes = self.two(left, right)?;
                let operator = operator(sign)?;
                self.dates(operator, [(left.id, &nodes[0]), (right.id, &nodes[1])]);
                self.settled(self.token(id), Node::Binary(operator, nodes))
            }
            (name, _) => self.function(id, name, call),
        }
    }

    /// Text that only people read as a date is compared letter by letter, which is never what was meant: not where it
    /// must be more or less than something, nor with what is a date.
    fn dates(&mut self, operator: Operator, sides: [(u64, &Node); 2]) {
        let orders = match operator {
            Operator::Less | Operator::AtMost | Operator::Greater | Operator::AtLeast => true,
            Operator::Equal | Operator::Unequal | Operator::In => false,
            Operator::Plus | Operator::Minus | Operator::Times | Operator::By | Operator::Rest => return,
        };
        let [one, other] = sides;
        for ((id, node), (_, against)) in [(one, other), (other, one)] {
            let Node::Const(val) = node else { continue };
            if val.is_a_date_in_another_form() && (orders || against.is_of_time()) {
                let remedy = "write year, month and day as \"2026-01-05\", and a time with its zone as \
                              \"2026-01-05T08:30:00Z\"";
                self.find(self.token(id), "this is compared as text, and not as a date", remedy);
            }
        }
    }

    fn function(&mut self, id: u64, name: &str, call: &CallExpr) -> Made {
        let span = self.callee(id, name);
        let name = if name == "existsOne" { "exists_one" } else { name };
        let Some(function) = functions::find(name) else {
            // Its arguments may hold problems too.
            for arg in call.target.iter().map(AsRef::as_ref).chain(&call.args) {
                self.node(arg);
            }
            self.find(span, format!("there is no function `{name}`"), meant(name));
            return None;
        };
        self.hashes |= name == "hash";
        let args: Vec<&IdedExpr> = call.target.iter().map(AsRef::as_ref).chain(&call.args).collect();
        if args.len() < function.least || args.len() > function.most {
            let (least, most) = (function.least, function.most);
            let wanted = match () {
                () if least == most => format!("{least}"),
                () if most == usize::MAX => format!("{least} or more"),
                () => format!("{least} to {most}"),
            };
            let message = format!("`{name}` takes {wanted} {}, and got {}", plural(most, "argument"), args.len());
            self.find(span, message, format!("write `{}`", function.signature));
            return None;
        }
        match function.form {
            Form::Special(special) => self.special(span, function, special, &args),
            Form::Strict(_) | Form::Asks(_) | Form::Sees(_) => {
                let made: Vec<Made> = args.iter().map(|arg| self.node(arg)).collect();
                let made = made.into_iter().collect::<Option<Vec<Node>>>()?;
                let node = Node::Call(function, made);
                // Its key is known only where it runs.
                if function.name == "hash" { Some(node) } else { self.settled(span, node) }
            }
        }
    }

    fn special(&mut self, span: Range<usize>, function: &Function, special: Special, args: &[&IdedExpr]) -> Made {
        match special {
            Special::Has => {
                self.keep_index = true;
                let of = self.node(args[0])?;
                Some(match of {
                    Node::Header(_) => Node::HasHeader,
                    of => Node::Has(Box::new(of)),
                })
            }
            Special::Coalesce => {
                let made: Vec<Made> = args.iter().map(|arg| self.node(arg)).collect();
                Some(Node::Coalesce(made.into_iter().collect::<Option<_>>()?))
            }
            Special::Matches => {
                let text = self.node(args[0]);
                let Expr::Literal(LiteralValue::String(pattern)) = &args[1].expr else {
                    self.find(
                        span,
                        "a pattern is a text in quotes, not something reckoned",
                        "write `matches(Field, \"^A[0-9]+$\")`",
                    );
                    return None;
                };
                match RegexBuilder::new(pattern.inner()).size_limit(1 << 20).nest_limit(50).build() {
                    Ok(regex) => Some(Node::Matches(Box::new(text?), regex)),
                    Err(error) => {
                        let (message, remedy) = unfit_pattern(&error);
                        self.find(self.token(args[1].id), message, remedy);
                        None
                    }
                }
            }
            Special::All | Special::Exists | Special::ExistsOne | Special::Map | Special::Filter => {
                self.fold(span, function, special, args)
            }
        }
    }

    fn fold(&mut self, span: Range<usize>, function: &Function, special: Special, args: &[&IdedExpr]) -> Made {
        let list = self.node(args[0]);
        let Expr::Ident(local) = &args[1].expr else {
            self.find(
                span,
                format!("`{}` names each entry of the list first", function.name),
                format!("write `{}`", function.signature),
            );
            return None;
        };
        if self.locals.len() >= MAX_FOLDS {
            let message = format!("`{}` is the third of its kind within another", function.name);
            self.find(span, message, "keep to two within each other");
            return None;
        }
        self.locals.push(local.clone());
        let made: Vec<Made> = args[2..].iter().map(|arg| self.node(arg)).collect();
        self.locals.pop();
        let mut made = made.into_iter().collect::<Option<Vec<Node>>>()?;
        let last = made.pop()?;
        let (kind, test, make) = match special {
            Special::All => (FoldKind::All, Some(last), None),
            Special::Exists => (FoldKind::Exists, Some(last), None),
            Special::ExistsOne => (FoldKind::ExistsOne, Some(last), None),
            Special::Map => (FoldKind::Collect, made.pop(), Some(last)),
            _ => (FoldKind::Collect, Some(last), None),
        };
        Some(Node::Fold(Box::new(Fold { kind, list: list?, test, make })))
    }

    /// What needs no record is reckoned now, and fails now.
    fn settled(&mut self, span: Range<usize>, node: Node) -> Made {
        let constant = match &node {
            Node::Call(_, nodes) => nodes.iter().all(Node::is_const),
            Node::Binary(_, nodes) | Node::Index(nodes) => nodes.iter().all(Node::is_const),
            Node::Not(of) | Node::Negate(of) => of.is_const(),
            _ => false,
        };
        if !constant {
            return Some(node);
        }
        match Evaluation::new(&Nothing).eval(&node) {
            Ok(val) => Some(Node::Const(val)),
            Err(Unevaluated::Failed { reason, .. }) => {
                self.find(span, reason, "this fails for every record: mend or remove it");
                None
            }
            // It reads nothing, so this is never taken.
            Err(Unevaluated::Unknown(_) | Unevaluated::NoHeader) => Some(node),
        }
    }
}

/// A list or table of constants is made once.
fn constant(node: Node) -> Node {
    let constant = match &node {
        Node::List(nodes) => nodes.iter().all(Node::is_const),
        Node::Table(entries) => entries.iter().flatten().all(Node::is_const),
        _ => false,
    };
    if !constant {
        return node;
    }
    match Evaluation::new(&Nothing).eval(&node) {
        Ok(val) => Node::Const(val),
        Err(_) => node,
    }
}

/// `a.b.c` as it is written, if it is nothing but names.
fn plain_path(tree: &IdedExpr) -> Option<String> {
    match &tree.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) => Some(format!("{}.{}", plain_path(&select.operand)?, select.field)),
        _ => None,
    }
}

fn operator(sign: &str) -> Option<Operator> {
    Some(match sign {
        operators::ADD => Operator::Plus,
        operators::SUBSTRACT => Operator::Minus,
        operators::MULTIPLY => Operator::Times,
        operators::DIVIDE => Operator::By,
        operators::MODULO => Operator::Rest,
        operators::EQUALS => Operator::Equal,
        operators::NOT_EQUALS => Operator::Unequal,
        operators::LESS => Operator::Less,
        operators::LESS_EQUALS => Operator::AtMost,
        operators::GREATER => Operator::Greater,
        operators::GREATER_EQUALS => Operator::AtLeast,
        operators::IN => Operator::In,
        _ => return None,
    })
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

fn unfit_pattern(error: &regex::Error) -> (String, &'static str) {
    match error {
        regex::Error::CompiledTooBig(_) => ("this pattern is too large".to_owned(), "write smaller repetitions"),
        _ => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            let why = last.trim_start_matches("error: ");
            (
                format!("this pattern cannot be read: {why}"),
                "look-around and back-references do not exist; write \\\\ for a \\",
            )
        }
    }
}

/// What somebody who called a function that does not exist may have meant.
fn meant(name: &str) -> String {
    let lower = name.to_lowercase().replace('_', "");
    let near = |name: &str| format!("did you mean `{name}`?");
    match lower.as_str() {
        "now" | "today" | "timestampnow" | "systemtime" => {
            return "an expression knows no clock, so that it gives the same each time: use `change.time`, or a formula field".to_owned();
        }
        "if" | "iif" | "case" => {
            return "write `condition ? this : that`, or a table: `{\"A\": \"B\"}[Field]`".to_owned();
        }
        "string" | "str" | "tostring" | "tochar" => return near("text"),
        "int" | "uint" | "double" | "float" | "decimal" | "tonumber" | "value" | "parseint" => return near("number"),
        "timestamp" | "datetimevalue" | "todatetime" => return near("datetime"),
        "datevalue" | "todate" => return near("date"),
        "len" | "length" | "count" => return near("size"),
        "upperascii" | "uppercase" | "toupper" => return near("upper"),
        "lowerascii" | "lowercase" | "tolower" => return near("lower"),
        "isblank" | "isempty" | "isnull" => return near("blank"),
        "blankvalue" | "nullvalue" | "nvl" | "ifnull" | "isnullthen" => return near("default"),
        "ispickval" => return "write `Field == \"value\"`".to_owned(),
        "includes" => return "write `\"value\" in split(Field, \";\")`".to_owned(),
        "concat" | "concatenate" => return "write `a + b`, or `join([a, b], \" \")`".to_owned(),
        "substitute" => return near("replace"),
        "begins" => return near("startsWith"),
        "ends" => return near("endsWith"),
        "mid" | "substr" | "slice" => return near("substring"),
        "lpad" | "padstart" | "zfill" => return near("pad_left"),
        "casesafeid" => return near("id18"),
        "ceiling" => return near("ceil"),
        "mod" => return "write `a % b`".to_owned(),
        "regex" | "match" => return near("matches"),
        "addmonth" | "addmonths" => return near("add_months"),
        "duration" => return near("add_days"),
        "proper" | "initcap" | "capitalize" | "titlecase" => return near("initial_caps"),
        "sha256" | "hmac" | "md5" => return near("hash"),
        "type" | "dyn" | "bool" | "bytes" => return "it is not needed here: remove it".to_owned(),
        _ => {}
    }
    let names = || FUNCTIONS.iter().map(|function| function.name);
    match names().find(|known| known.replace('_', "").eq_ignore_ascii_case(&lower)).or_else(|| closest(name, names())) {
        Some(known) => near(known),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    }
}
