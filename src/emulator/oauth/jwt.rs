//! The assertion of the JWT bearer flow (oauth.md section 7).

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::Value as Json;

use super::certificate::Certificate;
use super::refusal::Refusal;
use crate::org::time::SECOND;

/// How far ahead an assertion may end, in seconds.
const AHEAD: i64 = 180;

/// An assertion that has been read, but not yet believed.
#[derive(Debug)]
pub struct Assertion {
    /// The consumer key.
    pub issuer: String,
    pub username: String,
    pub audience: Option<String>,
    /// Makes the assertion good only once.
    pub id: Option<String>,
    expires: Option<f64>,
    message: String,
    signature: Vec<u8>,
}

impl Assertion {
    pub fn parse(text: &str) -> Option<Self> {
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let header = json(header)?;
        let claims = json(claims)?;
        let text = |name: &str| claims.get(name).and_then(Json::as_str).map(str::to_owned);
        (header.get("alg")?.as_str()? == "RS256").then_some(())?;
        Some(Self {
            issuer: text("iss")?,
            // The old name of the claim wins.
            username: text("prn").or_else(|| text("sub"))?,
            audience: text("aud"),
            id: text("jti"),
            // Some clients send a text.
            expires: claims.get("exp").and_then(|exp| exp.as_f64().or_else(|| exp.as_str()?.parse().ok())),
            message: message.to_owned(),
            signature: decode(signature)?,
        })
    }

    /// Whether the app's key has signed it, and whether it is still good.
    pub fn check(&self, certificate: &Certificate, limited: bool, now: i64) -> Result<(), Refusal> {
        let seconds = now.div_euclid(SECOND);
        let in_time = self.expires.is_some_and(|expires| {
            // Clocks in seconds need no more than the 52 bits of a float.
            let ahead = expires - seconds as f64;
            ahead > 0.0 && (!limited || ahead <= AHEAD as f64)
        });
        let signed = certificate.is_valid_at(now) && certificate.has_signed(self.message.as_bytes(), &self.signature);
        if in_time && signed { Ok(()) } else { Err(Refusal::invalid_assertion()) }
    }
}

fn json(part: &str) -> Option<Json> {
    serde_json::from_slice(&decode(part)?).ok()
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).or_else(|_| URL_SAFE.decode(part)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn unsigned(header: Json, claims: Json) -> Option<Assertion> {
        let encode = |json: Json| URL_SAFE_NO_PAD.encode(json.to_string());
        Assertion::parse(&format!("{}.{}.AAAA", encode(header), encode(claims)))
    }

    #[test]
    fn the_old_name_of_the_subject_wins() {
        let claims = json!({"iss": "key", "sub": "a@b.c", "prn": "d@e.f"});
        assert_eq!(unsigned(json!({"alg": "RS256"}), claims).unwrap().username, "d@e.f");
    }

    #[test]
    fn what_is_no_assertion_is_refused() {
        let claims = json!({"iss": "key", "sub": "a@b.c"});
        assert!(unsigned(json!({"alg": "none"}), claims.clone()).is_none());
        assert!(unsigned(json!({"alg": "HS256"}), claims).is_none());
        assert!(unsigned(json!({"alg": "RS256"}), json!({"iss": "key"})).is_none());
        for text in ["", ".", "..", "a.b.c", "ä.ö.ü", "e30.e30.AAAA"] {
            assert!(Assertion::parse(text).is_none(), "{text}");
        }
    }
}
