//! What only the SOAP API can do: taking records out of the recycle bin.
//!
//! The shared facts name no way to do that and are silent on SOAP. The form of the call is that of the SOAP API guide,
//! "undelete()", "UndeleteResult", "SessionHeader" and "API Fault Element", with the partner WSDL; answers that people have
//! shown publicly are alike. Elements are told by their local names alone, for prefixes are the org's own affair.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use roxmltree::{Document, Node};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::error::{CallError, Lost};
use super::http::Answer;
use super::save::{RecordError, Refusal, SaveResult};
use super::{COLLECTION_MAX, Code, Org, Session};
use crate::event::RecordId;

/// Our name for SOAP's own codes that say that asking again cannot help.
const NOT_UNDERSTOOD: &str = "SOAP_CLIENT_FAULT";

impl Org {
    /// Takes records out of the recycle bin, each with what was deleted along with it: `undelete()`. More than
    /// [`COLLECTION_MAX`] are refused without a request. A record that is not in the bin, or not any more, is refused by
    /// itself.
    ///
    /// The access token is the session; one that is refused is renewed once, as for a REST call.
    pub async fn undelete(&self, ids: &[RecordId]) -> Result<Vec<SaveResult>, CallError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        if ids.len() > COLLECTION_MAX {
            return Err(CallError::too_many_records());
        }
        let mut session = self.session().await.map_err(CallError::LoginFailed)?;
        let mut refused_at = None;
        loop {
            let answer = self.send_undelete(&session, ids).await?;
            let fault = answer.body.as_deref().ok().and_then(read_fault);
            let names_session = fault.as_ref().is_some_and(|fault| fault.code == Code::InvalidSessionId);
            let refused = answer.status == StatusCode::UNAUTHORIZED || names_session;
            if refused && refused_at.is_none_or(|at| session.since < at) {
                refused_at.get_or_insert_with(Instant::now);
                tracing::debug!(org = %self.name(), "token refused, renewing");
                session = self.renew(&session).await.map_err(CallError::LoginFailed)?;
                continue;
            }
            return results(answer, fault, ids);
        }
    }

    async fn send_undelete(&self, session: &Session, ids: &[RecordId]) -> Result<Answer, CallError> {
        let shared = &*self.shared;
        let target = format!("/services/Soap/u/{}", shared.config.api_version);
        let outgoing = self
            .outgoing(session, Method::POST, &target)?
            .header(CONTENT_TYPE, "text/xml; charset=UTF-8")
            .header("SOAPAction", "\"\"")
            .timeout(shared.timeouts.write)
            .body(envelope(&session.token, &shared.config.client_name, ids));
        self.exchange(outgoing).await
    }
}

/// The whole request. It holds the token: it goes nowhere but to the org.
fn envelope(token: &SecretString, client: &str, ids: &[RecordId]) -> String {
    let ids: String = ids.iter().map(|id| format!("<ids>{id}</ids>")).collect();
    let (token, client) = (escaped(token.expose_secret()), escaped(client));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns=\"urn:partner.soap.sforce.com\">\
         <e:Header><SessionHeader><sessionId>{token}</sessionId></SessionHeader>\
         <CallOptions><client>{client}</client></CallOptions></e:Header>\
         <e:Body><undelete>{ids}</undelete></e:Body></e:Envelope>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// One result for each id, or why there is none.
fn results(answer: Answer, fault: Option<RecordError>, ids: &[RecordId]) -> Result<Vec<SaveResult>, CallError> {
    let status = answer.status.as_u16();
    if let Some(fault) = fault {
        // Faults come with 500, whoever is to blame: what it is their code says.
        let status = if fault.code == Code::InvalidSessionId { 401 } else { 400 };
        return Err(CallError::Refused { status, retry_after: answer.retry_after, errors: vec![fault] });
    }
    if !answer.status.is_success() {
        return Err(CallError::from_answer(status, answer.retry_after, &answer.body.unwrap_or_default()));
    }
    let body = answer.body.map_err(CallError::Unknown)?;
    let unreadable = || CallError::Unknown(Lost::Unreadable { status });
    let results = read_results(&body).ok_or_else(unreadable)?;
    if results.len() != ids.len() {
        return Err(CallError::Unknown(Lost::Count { sent: ids.len(), got: results.len() }));
    }
    let result = |(result, id): (Option<Refusal>, &RecordId)| match result {
        None => SaveResult::Saved { id: *id, created: None },
        Some(refusal) => SaveResult::Refused(refusal),
    };
    Ok(results.into_iter().zip(ids).map(result).collect())
}

/// Why each record is still in the bin, in the order of the ids; none for those that are back. None at all where it is no
/// such answer.
fn read_results(body: &[u8]) -> Option<Vec<Option<Refusal>>> {
    let document = Document::parse(std::str::from_utf8(body).ok()?).ok()?;
    let response = document.descendants().find(|node| is(node, "undeleteResponse"))?;
    let results = response.children().filter(|node| is(node, "result"));
    results
        .map(|result| match text_of(result, "success")? {
            "true" => Some(None),
            "false" => {
                let errors = result.children().filter(|node| is(node, "errors"));
                let mut errors = errors.map(|error| {
                    let text = |name| text_of(error, name).unwrap_or_default();
                    RecordError::new(text("statusCode"), text("message"), Vec::new())
                });
                let first = errors.next().unwrap_or_else(|| RecordError::new("", "", Vec::new()));
                Some(Some(Refusal::new(first, errors.collect())))
            }
            _ => None,
        })
        .collect()
}

/// What a fault says: `sf:INVALID_SESSION_ID`, or a code of SOAP's own, such as `soapenv:Client`.
fn read_fault(body: &[u8]) -> Option<RecordError> {
    let document = Document::parse(std::str::from_utf8(body).ok()?).ok()?;
    let fault = document.descendants().find(|node| is(node, "Fault"))?;
    let code = text_of(fault, "faultcode").unwrap_or_default();
    let code = match code.rsplit(':').next().unwrap_or_default() {
        "Client" | "MustUnderstand" | "VersionMismatch" => NOT_UNDERSTOOD,
        code => code,
    };
    Some(RecordError::new(code, text_of(fault, "faultstring").unwrap_or_default(), Vec::new()))
}

fn is(node: &Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

fn text_of<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children().find(|child| is(child, name))?.text().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Reply, ScriptedOrg};
    use super::*;
    use crate::org::Disposition;

    const IDS: [&str; 2] = ["001D000000IqhSLIAZ", "001D000000IRFmaIAH"];

    fn ids() -> Vec<RecordId> {
        IDS.iter().map(|id| id.parse().unwrap()).collect()
    }

    fn answered(inside: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope \
             xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns=\"urn:partner.soap.sforce.com\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Header><LimitInfoHeader/></soapenv:Header>\
             <soapenv:Body>{inside}</soapenv:Body></soapenv:Envelope>"
        )
    }

    fn fault(code: &str) -> Reply {
        let inside = format!(
            "<soapenv:Fault><faultcode>{code}</faultcode><faultstring>{code}: Jane</faultstring></soapenv:Fault>"
        );
        Reply::text(500, "text/xml", answered(&inside))
    }

    fn both() -> Reply {
        let inside = "<undeleteResponse><result><id>001D000000IqhSLIAZ</id><success>true</success></result>\
            <result><errors><message>Jane is not in the recycle bin</message><statusCode>UNDELETE_FAILED</statusCode></errors>\
            <id xsi:nil=\"true\"/><success>false</success></result></undeleteResponse>";
        Reply::text(200, "text/xml", answered(inside))
    }

    #[tokio::test]
    async fn an_undelete_is_one_request_with_a_result_for_each_record() {
        let server = ScriptedOrg::start(|_| both()).await;
        let org = server.org();
        let results = org.undelete(&ids()).await.unwrap();
        assert_eq!(results[0], SaveResult::Saved { id: ids()[0], created: None });
        let SaveResult::Refused(refusal) = &results[1] else { panic!("{results:?}") };
        assert_eq!(refusal.errors().next().unwrap().code.to_string(), "UNDELETE_FAILED");
        assert!(!format!("{results:?}").contains("Jane"));

        let request = &server.calls()[0];
        let target = format!("/services/Soap/u/{}", org.config().api_version);
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", target.as_str()));
        assert_eq!(request.header("soapaction"), Some("\"\""));
        let body = String::from_utf8(request.body.clone()).unwrap();
        assert!(body.contains(&format!("<undelete><ids>{}</ids><ids>{}</ids></undelete>", IDS[0], IDS[1])), "{body}");
        let token = org.session().await.unwrap().token;
        assert!(body.contains(&format!("<sessionId>{}</sessionId>", escaped(token.expose_secret()))));
        assert_eq!(org.api_calls(), 1);
        assert!(org.undelete(&[]).await.unwrap().is_empty());
        assert!(org.undelete(&vec![ids()[0]; COLLECTION_MAX + 1]).await.is_err());
        assert_eq!(server.calls().len(), 1);
    }

    #[tokio::test]
    async fn a_session_that_is_refused_is_renewed_once() {
        for code in ["INVALID_SESSION_ID", "sf:INVALID_SESSION_ID"] {
            let first = std::sync::atomic::AtomicBool::new(true);
            let server = ScriptedOrg::start(move |_| match first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                true => fault(code),
                false => both(),
            })
            .await;
            assert_eq!(server.org().undelete(&ids()).await.unwrap().len(), 2);
            assert_eq!(server.calls().len(), 2);
            let server = ScriptedOrg::start(move |_| fault(code)).await;
            let error = server.org().undelete(&ids()).await.unwrap_err();
            assert_eq!((error.code(), server.calls().len()), (Some(&Code::InvalidSessionId), 2));
            assert!(matches!(error.disposition(), Disposition::Halt { .. }));
        }
    }

    #[tokio::test]
    async fn whatever_else_comes_back_is_a_failed_call() {
        let short = "<undeleteResponse><result><success>true</success></result></undeleteResponse>";
        let odd = "<undeleteResponse><result><success>perhaps</success></result></undeleteResponse>";
        for (reply, expected) in [
            (fault("REQUEST_LIMIT_EXCEEDED"), "refused: HTTP 400 REQUEST_LIMIT_EXCEEDED"),
            (fault("soapenv:Client"), "refused: HTTP 400 SOAP_CLIENT_FAULT"),
            (Reply::text(200, "text/xml", answered(short)), "outcome unknown: 1 results for 2 records"),
            (
                Reply::text(200, "text/xml", answered(odd)),
                "outcome unknown: HTTP 200 with a body that is no answer to the call",
            ),
            (
                Reply::text(200, "text/html", "<p>Jane"),
                "outcome unknown: HTTP 200 with a body that is no answer to the call",
            ),
            (Reply::text(503, "text/html", "<p>Jane"), "refused: HTTP 503"),
        ] {
            let server = ScriptedOrg::start(move |_| reply.clone()).await;
            assert_eq!(server.org().undelete(&ids()).await.unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_token_stays_a_token_in_xml() {
        let text = envelope(&"00D!a&b<c".to_owned().into(), "Org & Bridge", &ids());
        let document = Document::parse(&text).unwrap();
        let said = |name: &str| document.descendants().find(|node| is(node, name)).unwrap().text().unwrap();
        assert_eq!((said("sessionId"), said("client")), ("00D!a&b<c", "Org & Bridge"));
    }
}
