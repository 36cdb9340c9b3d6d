//! The key with which orgs sign id tokens, and how they show it.
//!
//! It is one key for all orgs of all emulators, made for this purpose and open to everybody: nobody may rely on it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value as Json, json};

const PEM: &str = include_str!("signing_key.pem");
const NAME: &str = "orgbridge-emulator";

fn key() -> Option<RsaKeyPair> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(PEM.as_bytes()).ok()?;
    RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()
}

/// The claims as a signed JWT.
pub fn sign(claims: &Json) -> Option<String> {
    let key = key()?;
    let header = json!({"kid": NAME, "typ": "JWT", "alg": "RS256"});
    let message =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).ok()?;
    Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// What `/id/keys` shows.
pub fn shown() -> Json {
    let public = key().map(|key| PublicKeyComponents::<Vec<u8>>::from(key.public()));
    let keys: Vec<Json> = public
        .map(|public| {
            json!({"kty": "RSA", "kid": NAME, "use": "sig", "alg": "RS256",
                "n": URL_SAFE_NO_PAD.encode(public.n), "e": URL_SAFE_NO_PAD.encode(public.e)})
        })
        .into_iter()
        .collect();
    json!({"keys": keys})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_is_shown_checks_what_is_signed() {
        let token = sign(&json!({"sub": "x"})).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let shown = &shown()["keys"][0];
        let part = |name: &str| URL_SAFE_NO_PAD.decode(shown[name].as_str().unwrap()).unwrap();
        let public = PublicKeyComponents { n: part("n"), e: part("e") };
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let algorithm = &ring::signature::RSA_PKCS1_2048_8192_SHA256;
        public.verify(algorithm, message.as_bytes(), &signature).unwrap();
        assert!(public.verify(algorithm, b"another", &signature).is_err());
    }
}
