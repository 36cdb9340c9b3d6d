//! Authorization codes: good once, for a quarter of an hour (oauth.md section 5).

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;

use super::{Grant, Refusal};
use crate::host;
use crate::org::time::MINUTE;

const LIFETIME: i64 = 15 * MINUTE;

/// What a user has approved in the browser.
#[derive(Debug, Clone, PartialEq)]
pub struct Code {
    pub grant: Grant,
    pub redirect_uri: String,
    /// Of PKCE, method S256.
    pub challenge: Option<String>,
    /// For the id token.
    pub nonce: Option<String>,
    pub issued: i64,
}

pub struct Codes {
    /// Each with whether it was used.
    given: HashMap<String, (Code, bool)>,
    rng: fastrand::Rng,
}

impl Codes {
    pub fn new(rng: fastrand::Rng) -> Self {
        Self { given: HashMap::new(), rng }
    }

    pub fn end_all(&mut self) {
        self.given.clear();
    }

    pub fn add(&mut self, code: Code) -> String {
        // The padding is there so that clients have something to decode.
        let text = format!("aPrx{}==", host::text(&mut self.rng, 72));
        self.given.insert(text.clone(), (code, false));
        text
    }

    pub fn knows(&self, code: &str) -> bool {
        self.given.contains_key(code)
    }

    /// Also an attempt with a wrong verifier or redirect uses a code up.
    pub fn redeem(
        &mut self,
        code: &str,
        app: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
        now: i64,
    ) -> Result<Code, Refusal> {
        let invalid = || Refusal::grant("invalid authorization code");
        let (code, used) = self.given.get_mut(code).filter(|(code, _)| code.grant.app == app).ok_or_else(invalid)?;
        if std::mem::replace(used, true) || now - code.issued > LIFETIME {
            return Err(Refusal::grant("expired authorization code"));
        }
        if code.redirect_uri != redirect_uri {
            return Err(Refusal::new("redirect_uri_mismatch", "redirect_uri must match configuration"));
        }
        match (&code.challenge, verifier) {
            (None, None) => Ok(code.clone()),
            (None, Some(_)) => Err(Refusal::grant("unexpected code verifier")),
            (Some(challenge), Some(verifier)) if is_verifier(verifier) && challenge_of(verifier) == *challenge => {
                Ok(code.clone())
            }
            (Some(_), _) => Err(Refusal::grant("invalid code verifier")),
        }
    }
}

/// The RFC allows `.` and `~` too, the platform does not. The RFC ends at 128 characters; the official tools send the
/// base64 of 128 bytes, which are more, and get through.
fn is_verifier(text: &str) -> bool {
    (43..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::scopes::Scopes;
    use crate::org::Id;

    const REDIRECT: &str = "http://localhost:1717/OauthRedirect";
    // The pair of RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn codes(challenge: Option<String>) -> (Codes, String) {
        let grant = Grant { user: Id::new("005", "5e0", 1), app: "app".into(), scopes: Scopes::of(&["api"]) };
        let mut codes = Codes::new(fastrand::Rng::with_seed(1));
        let code = Code { grant, redirect_uri: REDIRECT.into(), challenge, nonce: None, issued: 0 };
        let text = codes.add(code);
        (codes, text)
    }

    fn redeem(challenge: Option<&str>, verifier: Option<&str>) -> Result<Code, Refusal> {
        let (mut codes, text) = codes(challenge.map(str::to_owned));
        codes.redeem(&text, "app", REDIRECT, verifier, LIFETIME)
    }

    #[test]
    fn a_code_is_good_only_once_and_for_a_quarter_of_an_hour() {
        let (mut codes, text) = codes(None);
        assert!(codes.redeem(&text, "app", REDIRECT, None, LIFETIME).is_ok());
        let again = codes.redeem(&text, "app", REDIRECT, None, 0).unwrap_err();
        assert_eq!(again.description, "expired authorization code");
        let (mut codes, text) = self::codes(None);
        let late = codes.redeem(&text, "app", REDIRECT, None, LIFETIME + 1).unwrap_err();
        assert_eq!(late.description, "expired authorization code");
    }

    #[test]
    fn a_code_is_for_one_app_and_one_redirect() {
        let (mut codes, text) = codes(None);
        let refusal = codes.redeem(&text, "other", REDIRECT, None, 0).unwrap_err();
        assert_eq!(refusal.description, "invalid authorization code");
        let refusal = codes.redeem(&text, "app", "http://localhost:1717/", None, 0).unwrap_err();
        assert_eq!(refusal.error, "redirect_uri_mismatch");
    }

    #[test]
    fn the_verifier_must_fit_the_challenge() {
        assert!(redeem(Some(CHALLENGE), Some(VERIFIER)).is_ok());
        for wrong in [None, Some("x"), Some(&VERIFIER.replace('j', "k")[..])] {
            assert_eq!(redeem(Some(CHALLENGE), wrong).unwrap_err().description, "invalid code verifier");
        }
        assert_eq!(redeem(None, Some(VERIFIER)).unwrap_err().description, "unexpected code verifier");
    }

    #[test]
    fn a_verifier_may_be_the_base64_of_128_bytes() {
        let verifier = "v".repeat(171);
        assert!(redeem(Some(&challenge_of(&verifier)), Some(&verifier)).is_ok());
    }

    #[test]
    fn a_verifier_with_a_tilde_is_refused_even_if_it_fits() {
        let verifier = VERIFIER.replace('-', "~");
        let refusal = redeem(Some(&challenge_of(&verifier)), Some(&verifier)).unwrap_err();
        assert_eq!(refusal, Refusal::grant("invalid code verifier"));
    }
}
