//! TLS for the emulator: an authority of its own, made at each start, whose certificate clients can be told to trust.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Datelike, Days, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::TlsAcceptor;

const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What servers need, and the file that clients need.
pub struct Tls {
    /// For HTTP/1.1.
    pub acceptor: TlsAcceptor,
    /// For HTTP/2, with the same certificate.
    pub http2: TlsAcceptor,
    pub authority: AuthorityFile,
}

impl Tls {
    pub fn new() -> io::Result<Self> {
        let (config, pem) = make().map_err(io::Error::other)?;
        let speaks = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            TlsAcceptor::from(Arc::new(config))
        };
        let (acceptor, http2) = (speaks(b"http/1.1"), speaks(b"h2"));
        Ok(Self { acceptor, http2, authority: AuthorityFile::write(&pem)? })
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Some clients trust no certificate that is good for more than about two years.
const DAYS: u64 = 365;

/// From yesterday on, for clients whose clock is behind.
fn limit(parameters: &mut CertificateParams, now: DateTime<Utc>) {
    let day = |at: DateTime<Utc>| {
        let part = |number: u32| u8::try_from(number).unwrap_or(1); // months and days fit
        rcgen::date_time_ymd(at.year(), part(at.month()), part(at.day()))
    };
    parameters.not_before = day(now - Days::new(1));
    parameters.not_after = day(now + Days::new(DAYS));
}

fn make() -> Result<(ServerConfig, String), AnyError> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Orgbridge emulator");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    limit(&mut authority, Utc::now());
    let authority_key = KeyPair::generate()?;
    let pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new(NAMES.map(str::to_owned))?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    limit(&mut server, Utc::now());
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?;

    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
    Ok((config, pem))
}

/// The authority's certificate as PEM in the temporary folder; the file goes when this does.
pub struct AuthorityFile(PathBuf);

impl AuthorityFile {
    fn write(pem: &str) -> io::Result<Self> {
        let name = format!("orgbridge-emulator-{}-{:08x}.pem", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, pem)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for AuthorityFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // somebody may have removed it before
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("authority", &self.authority.0).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_good_from_yesterday_for_a_year() {
        let mut parameters = CertificateParams::default();
        limit(&mut parameters, DateTime::from_timestamp(1_772_323_200, 0).unwrap()); // 2026-03-01
        assert_eq!(parameters.not_before, rcgen::date_time_ymd(2026, 2, 28));
        assert_eq!(parameters.not_after, rcgen::date_time_ymd(2027, 3, 1));
    }
}
