//! A stand-in for Salesforce orgs.
