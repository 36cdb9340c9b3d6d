//! The recycle bin, which only SOAP can reach: undelete and emptyRecycleBin.

use crate::host::Host;
use crate::org::{Caller, Id, Options, SaveError, Write};
use crate::wire::escaped;

/// Most ids in one call.
const LIMIT: usize = 200;

/// Brings records back, each with what went with it; the results in the order of the ids.
pub fn undelete(host: &Host, caller: &Caller, ids: &[String]) -> String {
    let writes = ids.iter().take(LIMIT).map(|text| parsed(text).map(|id| Write::Undelete { id })).collect();
    let results = {
        let mut org = host.org();
        let now = host.now();
        org.transact(caller, writes, &Options::default(), now).unwrap_or_default()
    };
    host.notify();
    let results = results.into_iter().map(|result| result.map(|saved| saved.id));
    format!("<undeleteResponse>{}</undeleteResponse>", shown(results))
}

/// Takes deleted records out for good, without an event.
pub fn empty(host: &Host, ids: &[String]) -> String {
    let results: Vec<Result<Id, SaveError>> = {
        let mut org = host.org();
        let purge = |text: &String| {
            let id = parsed(text)?;
            if org.purge(&id) { Ok(id) } else { Err(SaveError::unknown_id()) }
        };
        ids.iter().take(LIMIT).map(purge).collect()
    };
    format!("<emptyRecycleBinResponse>{}</emptyRecycleBinResponse>", shown(results.into_iter()))
}

fn parsed(text: &str) -> Result<Id, SaveError> {
    Id::parse(text).ok_or_else(|| SaveError::new("MALFORMED_ID", format!("malformed id {text}")))
}

fn shown(results: impl Iterator<Item = Result<Id, SaveError>>) -> String {
    let one = |result: Result<Id, SaveError>| match result {
        Ok(id) => format!("<result><id>{id}</id><success>true</success></result>"),
        Err(error) => format!(
            "<result><errors><message>{}</message><statusCode>{}</statusCode></errors><id xsi:nil=\"true\"/>\
<success>false</success></result>",
            escaped(&error.message),
            error.code
        ),
    };
    results.map(one).collect()
}
