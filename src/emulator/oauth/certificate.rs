//! The certificate that an admin has uploaded to an app: the key in it checks signatures, until it ends.

use std::fmt;

use chrono::NaiveDateTime;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use webpki::EndEntityCert;
use webpki::ring::RSA_PKCS1_2048_8192_SHA256;

use crate::org::time::SECOND;

/// The platform's limit for the file.
const LARGEST: usize = 4_096;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

pub struct Certificate {
    der: CertificateDer<'static>,
    /// Seconds since 1970.
    not_before: i64,
    not_after: i64,
}

impl Certificate {
    pub fn from_pem(text: &str) -> Result<Self, String> {
        if text.len() > LARGEST {
            return Err("certificate: larger than 4 KB".into());
        }
        let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| format!("certificate: {error}"))?;
        EndEntityCert::try_from(&der).map_err(|error| format!("certificate: {error}"))?;
        let (not_before, not_after) = validity(&der).ok_or("certificate: its validity cannot be read")?;
        Ok(Self { der, not_before, not_after })
    }

    pub fn is_valid_at(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now.div_euclid(SECOND))
    }

    /// Whether the message was signed with RS256 by the certificate's key.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        EndEntityCert::try_from(&self.der)
            .is_ok_and(|own| own.verify_signature(RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// Certificate { tbs { [version], serial, algorithm, issuer, validity { from, to }, .. }, .. }
fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate, _) = element(der)?;
    let (_, tbs, _) = element(certificate)?;
    let (tag, _, after_version) = element(tbs)?;
    let mut rest = if tag == VERSION { after_version } else { tbs };
    for _ in ["serial", "algorithm", "issuer"] {
        rest = element(rest)?.2;
    }
    let (tag, validity, _) = element(rest)?;
    let (from_tag, from, rest) = element(validity)?;
    let (to_tag, to, _) = element(rest)?;
    (tag == SEQUENCE).then_some(())?;
    Some((instant(from_tag, from)?, instant(to_tag, to)?))
}

/// Tag, content, and what comes behind the first element of some DER.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f).min(5))?;
        let length = digits.iter().try_fold(0u32, |n, byte| n.checked_mul(256)?.checked_add(u32::from(*byte)))?;
        (usize::try_from(length).ok()?, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn instant(tag: u8, content: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(content).ok()?;
    let full = match tag {
        // Two digits of a year: those from 50 on are of the last century.
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    Some(NaiveDateTime::parse_from_str(&full, "%Y%m%d%H%M%SZ").ok()?.and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = include_str!("../tests/oauth/client_certificate.pem");

    #[test]
    fn a_certificate_is_good_between_its_two_instants() {
        let certificate = Certificate::from_pem(PEM).unwrap();
        let year = |year: i32| chrono::NaiveDate::from_ymd_opt(year, 1, 1).unwrap().and_time(Default::default());
        let start = year(2020).and_utc().timestamp_micros();
        let end = year(2060).and_utc().timestamp_micros();
        assert!(certificate.is_valid_at(start) && certificate.is_valid_at(end));
        assert!(!certificate.is_valid_at(start - 1) && !certificate.is_valid_at(end + SECOND));
    }

    #[test]
    fn der_that_is_cut_off_or_lies_about_a_length_is_no_certificate() {
        let der = CertificateDer::from_pem_slice(PEM.as_bytes()).unwrap();
        assert!(validity(&der).is_some());
        for length in 0..der.len() {
            assert_eq!(validity(&der[..length]), None);
        }
        assert_eq!(element(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]), None);
        assert_eq!(element(&[0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1]), None);
    }
}
