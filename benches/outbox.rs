//! What one write costs in the outbox by itself, by how many records wait: offered, handed out in a batch, settled.
//!
//! `cargo bench --bench outbox [-- WRITES]`. Aim: the same at 1,000 and at 1,000,000 records.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use orgbridge::event::{FieldName, ObjectName, RecordId, Seq, Value};
use orgbridge::publish::{Body, Cell, Cover, Key, Manner, Outbox, Source, Verdict, Write};
use orgbridge::store::{Parent, PipelineId};
use tokio::time::Instant;

/// How the records that wait are related.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Nothing to each other.
    Free,
    /// A hundred of them have one parent, which is locked with them.
    Families,
}

struct Names {
    object: ObjectName,
    parent: ObjectName,
    key: FieldName,
    fields: Vec<FieldName>,
}

impl Names {
    fn new() -> Result<Self> {
        let fields = ["Name", "Phone", "City__c", "Source_Id__c"].iter().map(|name| name.parse());
        Ok(Self {
            object: "Contact".parse()?,
            parent: "Account".parse()?,
            key: "Source_Id__c".parse()?,
            fields: fields.collect::<Result<_, _>>()?,
        })
    }

    fn write(&self, n: u64, shape: Shape) -> Result<Write> {
        let record: RecordId = format!("003{n:012}").parse()?;
        let mut fields = BTreeMap::new();
        for field in &self.fields {
            fields.insert(field.clone(), Cell::Value(Value::text(format!("value {n}"))));
        }
        let parents = match shape {
            Shape::Free => Vec::new(),
            Shape::Families => {
                let id = format!("001{:012}", n / 100).parse()?;
                vec![Parent { target_object: self.parent.clone(), record: id }]
            }
        };
        let source = Source { pipeline: PipelineId(1), record };
        Ok(Write {
            key: Key::External {
                object: self.object.clone(),
                field: self.key.clone(),
                value: record.as_str().to_owned(),
            },
            key_field: self.key.clone(),
            body: Body::Whole(fields),
            if_created: false,
            manner: Manner::default(),
            lock_keys: parents.clone(),
            waits_for: parents,
            covers: vec![Cover { source, from: Seq(n), to: Seq(n), clears_suspect: false }],
        })
    }
}

/// How long each part takes of one write, in nanoseconds: offering, handing out, settling.
fn measure(waiting: u64, writes: u64, shape: Shape) -> Result<[f64; 3]> {
    let (names, now) = (Names::new()?, Instant::now());
    let mut outbox = Outbox::default();
    for n in 0..waiting {
        outbox.offer(names.write(n, shape)?, now);
    }
    let mut took = [Duration::ZERO; 3];
    let (mut offered, mut settled) = (waiting, 0);
    while settled < writes {
        let start = Instant::now();
        let batch = outbox.next_batch(now).context("nothing may go out")?;
        took[1] += start.elapsed();
        let count = batch.writes.len() as u64;
        let verdicts: Vec<Verdict> = batch
            .writes
            .iter()
            .map(|write| Verdict::Saved { id: write.covers[0].source.record, created: Some(true) })
            .collect();
        let flight = batch.flight;
        drop(batch); // as the driver does: the outbox has the writes for itself
        let start = Instant::now();
        outbox.settle(flight, verdicts, now);
        let handed = outbox.take_handed();
        took[2] += start.elapsed();
        anyhow::ensure!(handed.len() as u64 == count, "{} of {count} are settled", handed.len());
        settled += count;
        // As many again, so that the same number waits all the time.
        let more = (offered..offered + count).map(|n| names.write(n, shape)).collect::<Result<Vec<_>>>()?;
        offered += count;
        let start = Instant::now();
        more.into_iter().for_each(|write| outbox.offer(write, now));
        took[0] += start.elapsed();
    }
    Ok(took.map(|part| part.as_nanos() as f64 / settled as f64))
}

fn main() -> Result<()> {
    let given = std::env::args().skip(1).find_map(|text| text.parse().ok());
    let writes = given.unwrap_or(200_000);
    println!("nanoseconds a write in the outbox: offered + handed out + settled");
    for shape in [Shape::Free, Shape::Families] {
        for waiting in [1_000, 100_000, 1_000_000] {
            let [offer, batch, settle] = measure(waiting, writes, shape)?;
            let sum = offer + batch + settle;
            println!("{shape:?}, {waiting:>9} waiting: {offer:.0} + {batch:.0} + {settle:.0} = {sum:.0}");
        }
    }
    Ok(())
}
