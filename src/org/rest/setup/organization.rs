//! The org itself.

use super::super::super::error::CallError;
use super::super::super::{Code, Org};
use super::{Asked, Row, flag, text};
use crate::event::Timestamp;

/// What kind of org it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    pub id: String,
    /// `Enterprise Edition`
    pub edition: Option<String>,
    pub sandbox: bool,
    /// `EU42`
    pub instance: Option<String>,
    pub namespace: Option<String>,
    /// Of a trial.
    pub expires: Option<Timestamp>,
    pub multi_currency: bool,
    /// Unknown where the user may not see accounts.
    pub person_accounts: Option<bool>,
}

/// A currency of an org that has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currency {
    pub iso_code: String,
    pub active: bool,
    /// What amounts are converted to.
    pub corporate: bool,
}

const READ_ORG: &str = "read access to the organization";

impl Org {
    pub async fn organization(&self) -> Result<Asked<Organization>, CallError> {
        let soql = "SELECT Id, OrganizationType, IsSandbox, InstanceName, NamespacePrefix, TrialExpirationDate \
                    FROM Organization LIMIT 1";
        let rows = match Asked::of(self.query(soql).await, READ_ORG)? {
            Asked::Known(rows) => rows,
            Asked::Unknown(reason) => return Ok(Asked::Unknown(reason)),
        };
        let Some((row, id)) = rows.first().and_then(|row| Some((row, text(row, "Id")?))) else {
            return Err(super::super::UNREADABLE);
        };
        let multi_currency = self.describe_global().await?.is_multi_currency();
        let person_accounts = match "Account".parse() {
            Ok(account) => match Asked::of(self.describe(&account).await, READ_ORG)? {
                Asked::Known(account) => Some(account.is_person_account_enabled()),
                Asked::Unknown(_) => None,
            },
            Err(_) => None,
        };
        Ok(Asked::Known(Organization {
            id,
            edition: text(row, "OrganizationType"),
            sandbox: flag(row, "IsSandbox"),
            instance: text(row, "InstanceName"),
            namespace: text(row, "NamespacePrefix"),
            expires: text(row, "TrialExpirationDate").as_deref().and_then(Timestamp::read),
            multi_currency,
            person_accounts,
        }))
    }

    /// What amounts are in where their record does not say otherwise; none where the org does not tell.
    pub async fn default_currency(&self) -> Result<Option<String>, CallError> {
        if self.describe_global().await?.is_multi_currency() {
            let currencies = self.currencies().await?.known().cloned().unwrap_or_default();
            return Ok(currencies.into_iter().find(|currency| currency.corporate).map(|currency| currency.iso_code));
        }
        // UNSURE: not every org has this column.
        let rows = self.query("SELECT DefaultCurrencyIsoCode FROM Organization LIMIT 1").await;
        let rows = Asked::of(rows, READ_ORG)?;
        Ok(rows.known().and_then(|rows| text(rows.first()?, "DefaultCurrencyIsoCode")))
    }

    /// The currencies of an org that has several; none of one that has one.
    pub async fn currencies(&self) -> Result<Asked<Vec<Currency>>, CallError> {
        if !self.describe_global().await?.is_multi_currency() {
            return Ok(Asked::Known(Vec::new()));
        }
        let ask = async |columns: &str| self.query(&format!("SELECT {columns} FROM CurrencyType")).await;
        let mut rows = ask("IsoCode, IsActive, IsCorporate").await;
        if rows.as_ref().is_err_and(|error| error.code() == Some(&Code::InvalidField)) {
            rows = ask("IsoCode, IsActive").await;
        }
        let currency = |row: &Row| {
            let (active, corporate) = (flag(row, "IsActive"), flag(row, "IsCorporate"));
            Some(Currency { iso_code: text(row, "IsoCode")?, active, corporate })
        };
        Asked::of(rows.map(|rows| rows.iter().filter_map(currency).collect()), READ_ORG)
    }
}
