//! Evaluation. It ends: each step counts, and so does each text and list that is made.
//!
//! What is not known is no failure: `&&` and `||` look at their other side first, and if that does not settle it the
//! answer is that the record must be read. So an answer given on a part of a record holds for the whole of it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::functions::numbers::trouble;
use super::functions::{MAX_TEXT, Surroundings};
use super::node::{Fold, FoldKind, HeaderPart, Node, Operator};
use super::number::Number;
use super::val::{Key, Val, Why};
use super::{Scope, Unevaluated};
use crate::event::{ChangeKind, FieldPath, Header};

/// Enough for a test of each entry of the longest text that a field can hold; it is a matter of milliseconds. A nest of
/// such lists wants more, and is refused.
const MAX_STEPS: usize = 1_000_000;

pub(super) struct Evaluation<'a> {
    scope: &'a dyn Scope,
    /// Each field is asked for once.
    fields: Vec<Option<Val>>,
    locals: Vec<Val>,
    steps: usize,
}

type Evaluated = Result<Val, Unevaluated>;

impl<'a> Evaluation<'a> {
    pub fn new(scope: &'a dyn Scope) -> Self {
        Self { scope, fields: Vec::new(), locals: Vec::new(), steps: 0 }
    }

    // Each kind of node has its own function, so that this one's frame stays small: it is what nesting costs.
    pub fn eval(&mut self, node: &Node) -> Evaluated {
        self.spend(1, node)?;
        match node {
            Node::Const(val) => Ok(val.clone()),
            Node::Field(path, at) => self.field(path, *at),
            Node::Header(part) => self.header(*part),
            Node::HasHeader => Ok(Val::Bool(self.scope.header().is_some())),
            Node::Local(at) => Ok(self.locals.get(*at).cloned().unwrap_or(Val::Null)),
            Node::Has(of) => self.has(of).map(Val::Bool),
            Node::Not(of) => self.truth(of, "!").map(|truth| Val::Bool(!truth)),
            Node::Negate(of) => self.negate(node, of),
            Node::Logic(settles, sides) => self.logic(*settles, sides).map(Val::Bool),
            Node::If(nodes) => {
                let [test, yes, no] = nodes.as_ref();
                if self.truth(test, "? :")? { self.eval(yes) } else { self.eval(no) }
            }
            Node::Binary(operator, sides) => self.binary(node, *operator, sides),
            Node::Index(nodes) => self.index(node, nodes),
            Node::List(nodes) => self.all(nodes).map(Val::list),
            Node::Table(entries) => self.table(node, entries),
            Node::Coalesce(nodes) => self.coalesce(nodes),
            Node::Matches(text, pattern) => self.matches(node, text, pattern),
            Node::Call(function, args) => self.call(node, function, args),
            Node::Fold(fold) => self.fold(node, fold),
        }
    }

    fn field(&mut self, path: &FieldPath, at: usize) -> Evaluated {
        if let Some(Some(val)) = self.fields.get(at) {
            return Ok(val.clone());
        }
        let val = Val::from(self.scope.field(path).ok_or_else(|| Unevaluated::Unknown(path.clone()))?);
        if at >= self.fields.len() {
            self.fields.resize(at + 1, None);
        }
        self.fields[at] = Some(val.clone());
        Ok(val)
    }

    fn spend(&mut self, steps: usize, at: &Node) -> Result<(), Unevaluated> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS {
            Err(failed(at, &Why::new("takes too many steps: its lists or texts are too long")))
        } else {
            Ok(())
        }
    }

    fn spend_on(&mut self, val: &Val, at: &Node) -> Result<(), Unevaluated> {
        self.spend(
            match val {
                Val::Text(text) => text.len() / 20,
                Val::List(list) => list.len() / 4,
                _ => 0,
            },
            at,
        )
    }

    fn all(&mut self, nodes: &[Node]) -> Result<Vec<Val>, Unevaluated> {
        let mut vals = Vec::with_capacity(nodes.len());
        let mut stopped = None;
        for node in nodes {
            match self.eval(node) {
                Ok(val) => vals.push(val),
                Err(stop) => stopped = Some(worse(stopped, stop)),
            }
        }
        stopped.map_or(Ok(vals), Err)
    }

    fn both(&mut self, [left, right]: &[Node; 2]) -> Result<[Val; 2], Unevaluated> {
        match (self.eval(left), self.eval(right)) {
            (Ok(left), Ok(right)) => Ok([left, right]),
            (Err(left), Err(right)) => Err(worse(Some(left), right)),
            (Err(stop), Ok(_)) | (Ok(_), Err(stop)) => Err(stop),
        }
    }

    fn truth(&mut self, node: &Node, operator: &str) -> Result<bool, Unevaluated> {
        match self.eval(node)? {
            Val::Bool(truth) => Ok(truth),
            other => {
                let remedy = if other.is_null() {
                    ": write `Field == true` where it may be empty"
                } else {
                    ": compare it with something"
                };
                Err(failed(node, &Why(format!("`{operator}` needs true or false, and got {}{remedy}", other.kind()))))
            }
        }
    }

    /// `settles` is the side's answer that settles it: false for `&&`, true for `||`.
    fn logic(&mut self, settles: bool, [left, right]: &[Node; 2]) -> Result<bool, Unevaluated> {
        let operator = if settles { "||" } else { "&&" };
        let left = self.truth(left, operator);
        if matches!(left, Ok(truth) if truth == settles) {
            return Ok(settles);
        }
        match (left, self.truth(right, operator)) {
            (_, Ok(truth)) if truth == settles => Ok(settles),
            (Ok(_), right) => right,
            (Err(left), Ok(_)) => Err(left),
            (Err(left), Err(right)) => Err(worse(Some(left), right)),
        }
    }

    fn header(&self, part: HeaderPart) -> Evaluated {
        let header = self.scope.header().ok_or(Unevaluated::NoHeader)?;
        Ok(match part {
            HeaderPart::User => Val::text(header.commit_user.as_str()),
            HeaderPart::Client => Val::text(client(header)),
            HeaderPart::Kind => Val::text(kind(header.change_type)),
            HeaderPart::Time => match chrono::DateTime::from_timestamp_millis(header.commit_timestamp.0) {
                Some(at) => Val::Moment(at),
                // Out of any calendar: no org sends it.
                None => Val::Null,
            },
        })
    }

    fn has(&mut self, of: &Node) -> Result<bool, Unevaluated> {
        if let Node::Index(nodes) = of {
            let [holder, key] = self.both(nodes)?;
            if let (Val::Table(table), Some(key)) = (&holder, key.key()) {
                return Ok(table.get(&key).is_some_and(|val| !val.is_null()));
            }
        }
        Ok(!self.eval(of)?.is_null())
    }

    fn negate(&mut self, node: &Node, of: &Node) -> Evaluated {
        match self.eval(of)? {
            Val::Number(number) => {
                number.negated().map(Val::Number).map_err(|why| failed(node, &about("-", trouble(why))))
            }
            other => Err(failed(node, &about("-", Why(format!("needs a number, and got {}", other.kind()))))),
        }
    }

    fn binary(&mut self, node: &Node, operator: Operator, sides: &[Node; 2]) -> Evaluated {
        let [left, right] = self.both(sides)?;
        self.spend_on(&left, node)?;
        self.spend_on(&right, node)?;
        binary(operator, &left, &right).map_err(|why| failed(node, &about(operator.sign(), why)))
    }

    fn index(&mut self, node: &Node, nodes: &[Node; 2]) -> Evaluated {
        let [holder, key] = self.both(nodes)?;
        index(&holder, &key).map_err(|why| failed(node, &about("[…]", why)))
    }

    fn table(&mut self, node: &Node, entries: &[[Node; 2]]) -> Evaluated {
        let mut table: BTreeMap<Key, Val> = BTreeMap::new();
        let mut stopped = None;
        for entry in entries {
            match self.both(entry) {
                Ok([key, val]) => match key.key() {
                    Some(key) => {
                        table.insert(key, val);
                    }
                    None => {
                        let why = Why(format!("a table's key cannot be {}", key.kind()));
                        stopped = Some(worse(stopped, failed(node, &why)));
                    }
                },
                Err(stop) => stopped = Some(worse(stopped, stop)),
            }
        }
        stopped.map_or_else(|| Ok(Val::Table(Arc::new(table))), Err)
    }

    fn coalesce(&mut self, nodes: &[Node]) -> Evaluated {
        for node in nodes {
            let val = self.eval(node)?;
            if !val.is_null() {
                return Ok(val);
            }
        }
        Ok(Val::Null)
    }

    fn matches(&mut self, node: &Node, text: &Node, pattern: &regex::Regex) -> Evaluated {
        let val = self.eval(text)?;
        // A search costs more than a look.
        self.spend_on(&val, node)?;
        self.spend_on(&val, node)?;
        match &val {
            Val::Null => Ok(Val::Bool(false)),
            Val::Text(text) => Ok(Val::Bool(pattern.is_match(text))),
            other => {
                let why = Why(format!("needs text as its first argument, and got {}", other.kind()));
                Err(failed(node, &about("matches", why)))
            }
        }
    }

    fn call(&mut self, node: &Node, function: &super::Function, args: &[Node]) -> Evaluated {
        let args = self.all(args)?;
        for arg in &args {
            self.spend_on(arg, node)?;
        }
        let surroundings = Surroundings { hash_key: self.scope.hash_key() };
        let val = function.call(&surroundings, &args).map_err(|why| failed(node, &about(function.name, why)))?;
        self.spend_on(&val, node)?;
        Ok(val)
    }

    fn fold(&mut self, node: &Node, fold: &Fold) -> Evaluated {
        let items: Arc<Vec<Val>> = match self.eval(&fold.list)? {
            Val::List(list) => list,
            // What is empty has no entries.
            Val::Null => Arc::default(),
            other => {
                let why = Why(format!("needs a list, and got {}", other.kind()));
                return Err(failed(node, &about(fold.kind.name(), why)));
            }
        };
        let mut taken = Taken::default();
        for item in items.iter() {
            self.locals.push(item.clone());
            let outcome = self.entry(node, fold, &mut taken);
            self.locals.pop();
            match outcome {
                Ok(None) => {}
                Ok(Some(settled)) => return Ok(Val::Bool(settled)),
                Err(stop) => taken.stopped = Some(worse(taken.stopped.take(), stop)),
            }
        }
        if let Some(stop) = taken.stopped {
            return Err(stop);
        }
        Ok(match fold.kind {
            FoldKind::All => Val::Bool(true),
            FoldKind::Exists => Val::Bool(false),
            FoldKind::ExistsOne => Val::Bool(taken.count == 1),
            FoldKind::Collect => Val::list(taken.made),
        })
    }

    /// One entry of a list; `Some`: this settles it.
    fn entry(&mut self, node: &Node, fold: &Fold, taken: &mut Taken) -> Result<Option<bool>, Unevaluated> {
        self.spend(1, node)?;
        let holds = match &fold.test {
            Some(test) => self.truth(test, fold.kind.name())?,
            None => true,
        };
        match fold.kind {
            FoldKind::All if !holds => return Ok(Some(false)),
            FoldKind::Exists if holds => return Ok(Some(true)),
            FoldKind::All | FoldKind::Exists => {}
            FoldKind::ExistsOne => taken.count += usize::from(holds),
            FoldKind::Collect if holds => {
                let val = match &fold.make {
                    Some(make) => self.eval(make)?,
                    None => self.locals.last().cloned().unwrap_or(Val::Null),
                };
                taken.made.push(val);
            }
            FoldKind::Collect => {}
        }
        Ok(None)
    }
}

#[derive(Default)]
struct Taken {
    count: usize,
    made: Vec<Val>,
    stopped: Option<Unevaluated>,
}

/// What a read can settle is asked for first; then the failure that came first.
fn worse(first: Option<Unevaluated>, then: Unevaluated) -> Unevaluated {
    let rank = |stop: &Unevaluated| match stop {
        Unevaluated::Unknown(_) => 2,
        Unevaluated::NoHeader => 1,
        Unevaluated::Failed { .. } => 0,
    };
    match first {
        Some(first) if rank(&first) >= rank(&then) => first,
        _ => then,
    }
}

/// The failure of a node, with the fields that went into it.
pub(super) fn failed(node: &Node, why: &Why) -> Unevaluated {
    let mut inputs = std::collections::BTreeSet::new();
    node.fields(&mut inputs);
    Unevaluated::Failed { reason: why.0.clone(), inputs: inputs.into_iter().collect() }
}

fn about(name: &str, why: Why) -> Why {
    Why(format!("`{name}` {}", why.0))
}

/// The text after `;client=`, which comes with and without a slash behind it.
fn client(header: &Header) -> &str {
    let client = header.change_origin.split_once(";client=").map_or("", |(_, client)| client);
    client.strip_suffix('/').unwrap_or(client)
}

fn kind(kind: ChangeKind) -> &'static str {
    let name = kind.as_str();
    name.strip_prefix("GAP_").unwrap_or(name)
}

pub(super) fn binary(operator: Operator, left: &Val, right: &Val) -> Result<Val, Why> {
    let reckon = |of: fn(&Number, &Number) -> Result<Number, super::number::Trouble>| match (left, right) {
        (Val::Number(left), Val::Number(right)) => of(left, right).map(Val::Number).map_err(trouble),
        _ => Err(unfit(left, right)),
    };
    let ordered = |fits: fn(Ordering) -> bool| left.order(right).map(|order| Val::Bool(fits(order)));
    match operator {
        Operator::Plus => match (left, right) {
            (Val::Text(left), Val::Text(right)) => {
                if left.len() + right.len() > MAX_TEXT {
                    return Err(Why(format!("gives more than {MAX_TEXT} characters")));
                }
                Ok(Val::text([left.as_ref(), right.as_ref()].concat()))
            }
            (Val::List(left), Val::List(right)) => Ok(Val::list(left.iter().chain(right.iter()).cloned().collect())),
            _ => reckon(Number::plus),
        },
        Operator::Minus => reckon(Number::minus),
        Operator::Times => reckon(Number::times),
        Operator::By => reckon(Number::by),
        Operator::Rest => reckon(Number::rest),
        Operator::Equal => left.can_equal(right).map(|()| Val::Bool(left.equals(right))),
        Operator::Unequal => left.can_equal(right).map(|()| Val::Bool(!left.equals(right))),
        Operator::Less => ordered(Ordering::is_lt),
        Operator::AtMost => ordered(Ordering::is_le),
        Operator::Greater => ordered(Ordering::is_gt),
        Operator::AtLeast => ordered(Ordering::is_ge),
        Operator::In => match right {
            Val::List(list) => Ok(Val::Bool(list.iter().any(|item| item.equals(left)))),
            Val::Table(table) => Ok(Val::Bool(left.key().is_some_and(|key| table.contains_key(&key)))),
            Val::Null => Ok(Val::Bool(false)),
            Val::Text(_) => Err(Why::new("looks into lists and tables: for text write `contains(…)`")),
            other => Err(Why(format!("needs a list or a table on its right, and got {}", other.kind()))),
        },
    }
}

fn unfit(left: &Val, right: &Val) -> Why {
    let remedy = match (left, right) {
        (Val::Null, _) | (_, Val::Null) => ": write `default(Field, …)` for an empty field",
        (Val::Text(_), Val::Number(_)) | (Val::Number(_), Val::Text(_)) => {
            ": turn one into the other by `text(…)` or `number(…)`"
        }
        (Val::Date(_) | Val::Moment(_), _) | (_, Val::Date(_) | Val::Moment(_)) => {
            ": write `add_days(…)`, `days_between(…)`, or `text(…)`"
        }
        (Val::Text(_), Val::Text(_)) => ": turn them into numbers by `number(…)`",
        _ => "",
    };
    Why(format!("does not fit {} and {}{remedy}", left.kind(), right.kind()))
}

/// An empty field has no entry, and finds none.
fn index(holder: &Val, key: &Val) -> Result<Val, Why> {
    match (holder, key) {
        (_, Val::Null) | (Val::Null, _) => Ok(Val::Null),
        (Val::Table(table), key) => match key.key() {
            Some(key) => table.get(&key).cloned().ok_or_else(|| {
                Why::new(
                    "finds no entry for this value: add one, or write `lookup(table, Field, …)` with what else it is",
                )
            }),
            None => Err(Why(format!("needs one value to look up, and got {}", key.kind()))),
        },
        (Val::List(list), Val::Number(at)) => {
            let at = at.whole().and_then(|at| usize::try_from(at).ok());
            at.and_then(|at| list.get(at))
                .cloned()
                .ok_or_else(|| Why::new("finds no such place in the list, which counts from 0"))
        }
        (Val::Compound(parts), Val::Text(part)) => match parts.get(part.as_ref()) {
            Some(value) => Ok(value.clone().into()),
            None => Err(Why::new("finds no such part in the compound field")),
        },
        (holder, key) => Err(Why(format!("cannot look {} up in {}", key.kind(), holder.kind()))),
    }
}
