//! The SOAP API, as far as old clients need it to log in and out, and what nothing else offers: the recycle bin.
//! Partner (`u`) and enterprise (`c`) alike.
//!
//! An envelope is read into a [`Request`]; what an operation answers is the inside of its response element.

mod bin;

use std::sync::Arc;

use roxmltree::{Document, Node};

use super::host::Host;
use super::oauth::{Door, Grant, Lifetime, Scopes};
use super::org::time::HOUR;
use super::org::{Caller, Org, User};
use super::wire::{Answer, Call, escaped};

const ENVELOPE: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const OLDEST: u32 = 7;
const NEWEST: u32 = 68;

/// The two WSDLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flavour {
    Partner,
    Enterprise,
}

impl Flavour {
    fn of(kind: &str) -> Option<Self> {
        match kind {
            "u" => Some(Self::Partner),
            "c" => Some(Self::Enterprise),
            _ => None,
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Partner => 'u',
            Self::Enterprise => 'c',
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Enterprise => "enterprise",
        }
    }

    fn namespace(self) -> String {
        format!("urn:{}.soap.sforce.com", self.name())
    }

    fn fault_namespace(self) -> String {
        format!("urn:fault.{}.soap.sforce.com", self.name())
    }
}

/// What an envelope asks for.
#[derive(PartialEq)]
struct Request {
    /// Of the `SessionHeader`.
    session: Option<String>,
    operation: Operation,
}

#[derive(PartialEq)]
enum Operation {
    Login {
        username: String,
        password: String,
    },
    Logout,
    UserInfo,
    Undelete(Vec<String>),
    EmptyRecycleBin(Vec<String>),
    /// Namespace and name of what is not here.
    Other(String, String),
}

/// A fault with a code of the platform's own, or one of SOAP's.
struct Fault {
    code: String,
    message: String,
    /// The element of the detail, for codes of the platform.
    detail: Option<&'static str>,
}

impl Fault {
    fn client(message: impl Into<String>) -> Self {
        Self { code: "soapenv:Client".into(), message: message.into(), detail: None }
    }

    fn invalid_login() -> Self {
        let message = "Invalid username, password, security token; or user locked out.";
        Self { code: "INVALID_LOGIN".into(), message: message.into(), detail: Some("LoginFault") }
    }

    fn invalid_session() -> Self {
        let message = "Invalid Session ID found in SessionHeader: Illegal Session";
        Self { code: "INVALID_SESSION_ID".into(), message: message.into(), detail: Some("UnexpectedErrorFault") }
    }
}

/// `POST /services/Soap/<kind>/<version>`, with or without the org's id behind.
pub fn handle(door: &Door<'_>, call: &Call, kind: &str, version: &str) -> Answer {
    let Some(flavour) = Flavour::of(kind) else {
        return Answer::error(404, "NOT_FOUND", "The requested resource does not exist");
    };
    if call.method != "POST" {
        return Answer::text(405, "text/html;charset=UTF-8", "HTTP method not allowed");
    }
    let result = match version_number(version) {
        None => Err(Fault::client(format!("Unsupported API version: {version}"))),
        Some(version) => parse(&call.body).and_then(|request| perform(door, call, flavour, version, request)),
    };
    match result {
        Ok(inside) => envelope(200, flavour, &inside),
        Err(fault) => envelope(500, flavour, &fault_element(flavour, &fault)),
    }
}

/// A request that was not even read.
pub fn refusal(status: u16, kind: &str, code: &str, message: &str) -> Answer {
    let flavour = Flavour::of(kind).unwrap_or(Flavour::Partner);
    let fault = Fault { code: escaped(code), message: message.into(), detail: Some("UnexpectedErrorFault") };
    envelope(status, flavour, &fault_element(flavour, &fault))
}

/// Many clients write the version as REST paths have it, with a `v`.
fn version_number(segment: &str) -> Option<u32> {
    let number = segment.strip_prefix('v').unwrap_or(segment).strip_suffix(".0")?.parse().ok()?;
    (OLDEST..=NEWEST).contains(&number).then_some(number)
}

fn parse(body: &[u8]) -> Result<Request, Fault> {
    let text = std::str::from_utf8(body).map_err(|error| Fault::client(error.to_string()))?;
    let document = Document::parse(text).map_err(|error| Fault::client(error.to_string()))?;
    let root = document.root_element();
    if !root.has_tag_name((ENVELOPE, "Envelope")) {
        return Err(Fault::client("SOAP envelope expected"));
    }
    let child = |node: Node<'_, '_>, name: &str| {
        node.children().find(|child| child.tag_name().name() == name).map(|child| child.id())
    };
    let text_of = |node: Node<'_, '_>, name: &str| -> Option<String> {
        document.get_node(child(node, name)?)?.text().map(|text| text.trim().to_owned())
    };
    let part = |name: &str| child(root, name).and_then(|id| document.get_node(id));
    let session = part("Header")
        .and_then(|header| document.get_node(child(header, "SessionHeader")?))
        .and_then(|header| text_of(header, "sessionId"));
    let body = part("Body").and_then(|body| body.children().find(Node::is_element));
    let asked = body.ok_or_else(|| Fault::client("SOAP body expected"))?;
    let field = |name: &str| text_of(asked, name).unwrap_or_default();
    let ids = || {
        let ids = asked.children().filter(|child| child.tag_name().name() == "ids");
        ids.filter_map(|id| id.text()).map(|text| text.trim().to_owned()).collect()
    };
    let operation = match asked.tag_name().name() {
        "login" => Operation::Login { username: field("username"), password: field("password") },
        "logout" => Operation::Logout,
        "getUserInfo" => Operation::UserInfo,
        "undelete" => Operation::Undelete(ids()),
        "emptyRecycleBin" => Operation::EmptyRecycleBin(ids()),
        other => Operation::Other(asked.tag_name().namespace().unwrap_or_default().to_owned(), other.to_owned()),
    };
    Ok(Request { session, operation })
}

fn perform(door: &Door<'_>, call: &Call, flavour: Flavour, version: u32, request: Request) -> Result<String, Fault> {
    match request.operation {
        Operation::Login { username, password } => {
            let (host, session) = log_in(door, &username, &password)?;
            Ok(login_response(host, &door.instance(host, call), flavour, version, &username, &session))
        }
        Operation::Logout => {
            let (host, _) = session(door, request.session.as_deref())?;
            host.tokens().revoke(&request.session.unwrap_or_default());
            host.notify();
            Ok("<logoutResponse/>".into())
        }
        Operation::UserInfo => {
            let (host, user) = session(door, request.session.as_deref())?;
            Ok(format!("<getUserInfoResponse><result>{}</result></getUserInfoResponse>", user_info(host, &user)))
        }
        Operation::Undelete(ids) => {
            let (host, user) = session(door, request.session.as_deref())?;
            let origin = format!("com/salesforce/api/soap/{version}.0");
            Ok(bin::undelete(host, &Caller::new(user.id, origin), &ids))
        }
        Operation::EmptyRecycleBin(ids) => {
            let (host, _) = session(door, request.session.as_deref())?;
            Ok(bin::empty(host, &ids))
        }
        Operation::Other(namespace, name) => Err(Fault::client(format!(
            "No operation available for request {{{namespace}}}{name}, please check the WSDL for the service."
        ))),
    }
}

/// The org and the user of a session.
fn session<'a>(door: &Door<'a>, session: Option<&str>) -> Result<(&'a Arc<Host>, User), Fault> {
    let found = door.hosts.iter().find_map(|host| Some((host, super::oauth::session(host, session)?.1)));
    let (host, user) = found.ok_or_else(Fault::invalid_session)?;
    host.count("soap", true);
    Ok((host, user))
}

/// A session without an app, which may do all that the user may.
fn log_in<'a>(door: &Door<'a>, username: &str, password: &str) -> Result<(&'a Arc<Host>, String), Fault> {
    let knows = |host: &&Arc<Host>| host.org().user_by_name(username).is_some();
    let host = door.hosts.iter().find(knows).ok_or_else(Fault::invalid_login)?;
    host.count("soap_login", false);
    let (org, user) = {
        let org = host.org();
        let user = org.user_by_name(username).filter(|user| user.active && user.accepts(password));
        (org.id.clone(), user.map(|user| user.id.clone()).ok_or_else(Fault::invalid_login)?)
    };
    let (limit, inactive) = {
        let settings = &host.login().settings;
        (settings.logins_per_hour, settings.org_inactive)
    };
    let now = host.now();
    if inactive || host.tokens().admit(&user, limit, now).is_err() {
        return Err(Fault::invalid_login());
    }
    let grant = Grant { user, app: String::new(), scopes: Scopes::of(&["full"]) };
    let token = host.tokens().issue(&org, grant, Lifetime { idle: 2 * HOUR, total: None }, None, now);
    Ok((host, token))
}

fn login_response(host: &Host, base: &str, flavour: Flavour, version: u32, username: &str, session: &str) -> String {
    let org = host.org();
    let Some(user) = org.user_by_name(username) else { return String::new() }; // it has just logged in
    let element = |name: &str, value: &str| format!("<{name}>{}</{name}>", escaped(value));
    let service = |letter: char| format!("{base}/services/Soap/{letter}/{version}.0/{}", org.id.short());
    let result: String = [
        element("metadataServerUrl", &service('m')),
        element("passwordExpired", "false"),
        element("sandbox", "false"),
        element("serverUrl", &service(flavour.letter())),
        element("sessionId", session),
        element("userId", user.id.as_str()),
        format!("<userInfo>{}</userInfo>", user_info_of(&org, &host.name, user)),
    ]
    .concat();
    format!("<loginResponse><result>{result}</result></loginResponse>")
}

fn user_info(host: &Host, user: &User) -> String {
    user_info_of(&host.org(), &host.name, user)
}

fn user_info_of(org: &Org, name: &str, user: &User) -> String {
    let element = |name: &str, value: &str| format!("<{name}>{}</{name}>", escaped(value));
    let full_name = match &user.first_name {
        Some(first) => format!("{first} {}", user.last_name),
        None => user.last_name.clone(),
    };
    [
        ("orgDisallowHtmlAttachments", "false"),
        ("organizationId", org.id.as_str()),
        ("organizationMultiCurrency", "false"),
        ("organizationName", name),
        ("sessionSecondsValid", "7200"),
        ("userEmail", &user.email),
        ("userFullName", &full_name),
        ("userId", user.id.as_str()),
        ("userLanguage", "en_US"),
        ("userLocale", "en_US"),
        ("userName", &user.username),
        ("userTimeZone", "GMT"),
        ("userType", "Standard"),
    ]
    .iter()
    .map(|(name, value)| element(name, value))
    .collect()
}

fn fault_element(flavour: Flavour, fault: &Fault) -> String {
    let Fault { code, message, detail } = fault;
    let message = escaped(message);
    let Some(detail) = detail else {
        return format!(
            "<soapenv:Fault><faultcode>{code}</faultcode><faultstring>{message}</faultstring></soapenv:Fault>"
        );
    };
    let namespace = flavour.fault_namespace();
    format!(
        "<soapenv:Fault><faultcode>{code}</faultcode><faultstring>{code}: {message}</faultstring><detail>\
<sf:{detail} xmlns:sf=\"{namespace}\" xsi:type=\"sf:{detail}\"><sf:exceptionCode>{code}</sf:exceptionCode>\
<sf:exceptionMessage>{message}</sf:exceptionMessage></sf:{detail}></detail></soapenv:Fault>"
    )
}

fn envelope(status: u16, flavour: Flavour, inside: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope xmlns:soapenv=\"{ENVELOPE}\" xmlns=\"{}\" \
xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>{inside}</soapenv:Body></soapenv:Envelope>",
        flavour.namespace()
    );
    Answer::text(status, "text/xml; charset=utf-8", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inside: &str) -> Result<Request, String> {
        let text = format!(r#"<s:Envelope xmlns:s="{ENVELOPE}">{inside}</s:Envelope>"#);
        parse(text.as_bytes()).map_err(|fault| fault.message)
    }

    #[test]
    fn an_operation_is_read_with_its_session_whatever_its_prefixes_are() {
        let request = read(
            "<s:Header><a:SessionHeader xmlns:a='urn:partner.soap.sforce.com'><a:sessionId>00D!x</a:sessionId>\
</a:SessionHeader></s:Header><s:Body><logout xmlns='urn:partner.soap.sforce.com'/></s:Body>",
        );
        let request = request.unwrap();
        assert!(request.operation == Operation::Logout);
        assert_eq!(request.session.as_deref(), Some("00D!x"));
        let request = read("<s:Body><n:login xmlns:n='urn:x'><n:username>a&amp;b</n:username></n:login></s:Body>");
        let login = Operation::Login { username: "a&b".into(), password: String::new() };
        assert!(request.unwrap().operation == login);
    }

    #[test]
    fn what_is_no_envelope_is_the_clients_fault() {
        assert!(parse(b"<x/>").is_err() && parse(b"\xff").is_err() && parse(b"").is_err());
        assert!(read("<s:Body/>").is_err() && read("").is_err());
    }
}
