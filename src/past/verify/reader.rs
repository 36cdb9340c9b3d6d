//! All rows of one side, page by page, however they are read.

use tokio::time::Instant;

use super::{AGAIN, AGAIN_MAX, Comparison, PREPARED_WITHIN, VerifyError};
use crate::event::RecordId;
use crate::past::rows::{Part, QUERY_PAGE, Row, Rows, Way};
use crate::retry::Backoff;
use crate::store::Store;

pub(super) struct Reader<'a> {
    rows: Rows<'a>,
    way: &'a Way,
    place: Place,
    /// What the org had prepared is gone, so these were not all.
    pub gone: bool,
}

enum Place {
    Start,
    Behind(RecordId),
    Locator(String),
    End,
}

impl<'a> Reader<'a> {
    pub fn new(rows: Rows<'a>, way: &'a Way) -> Self {
        Self { rows, way, place: Place::Start, gone: false }
    }

    /// None: these were all, or what the org had prepared is gone.
    pub async fn next<S: Store>(&mut self, of: &Comparison<'_, S>) -> Result<Option<Vec<Row>>, VerifyError> {
        let rows = self.rows;
        match self.way {
            Way::Queries => {
                let after = match &self.place {
                    Place::Start => None,
                    Place::Behind(last) => Some(*last),
                    Place::Locator(_) | Place::End => return Ok(None),
                };
                let (page, last) = of.patiently(rows.org, || rows.rows_behind(after, QUERY_PAGE)).await?;
                self.place = last.map_or(Place::End, Place::Behind);
                Ok(Some(page))
            }
            Way::Job(job) => {
                let locator = match &self.place {
                    Place::Start => None,
                    Place::Locator(locator) => Some(locator.clone()),
                    Place::Behind(_) | Place::End => return Ok(None),
                };
                let mut backoff = Backoff::new(AGAIN, AGAIN_MAX);
                let asked = Instant::now();
                loop {
                    let part = of.patiently(rows.org, || rows.part(job, locator.as_deref())).await?;
                    match part {
                        Part::Rows { rows, locator } => {
                            self.place = locator.map_or(Place::End, Place::Locator);
                            return Ok(Some(rows));
                        }
                        Part::NotYet if asked.elapsed() < PREPARED_WITHIN => {
                            tokio::time::sleep(backoff.next_delay()).await;
                        }
                        Part::NotYet | Part::Gone => {
                            self.gone = true;
                            return Ok(None);
                        }
                    }
                }
            }
        }
    }
}
