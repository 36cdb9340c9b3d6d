//! TLS for the emulator: an authority of its own, made at each start, whose certificate clients can be told to trust.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    pub acceptor: TlsAcceptor,
    pub authority: AuthorityFile,
}

impl Tls {
    pub fn new() -> io::Result<Self> {
        let (config, pem) = make().map_err(io::Error::other)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), authority: AuthorityFile::write(&pem)? })
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn make() -> Result<(ServerConfig, String), AnyError> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Orgbridge emulator");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate()?;
    let pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new(NAMES.map(str::to_owned))?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?;

    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
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
