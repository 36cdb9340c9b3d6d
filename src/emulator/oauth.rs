//! Logging in: OAuth 2.0 with its endpoints, at an org's own door or at the one that all orgs share (oauth.md).
//!
//! [`Login`] is what an org keeps for it: its apps, and how logins behave. The tokens are beside it, in [`Tokens`].

mod app;
mod authorize;
mod certificate;
mod format;
mod grants;
mod identity;
mod inspect;
mod issued;
mod jwt;
mod keys;
mod page;
mod refusal;
mod scopes;
mod secret;
mod settings;
mod tokens;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

pub use app::{App, AppSpec, RunAs};
pub use scopes::Scopes;
pub use settings::Settings;
pub use tokens::{Grant, Lifetime, Session, Tokens};

use super::host::{self, Host};
use super::org::{Id, User};
use super::wire::{Answer, Call};
use refusal::Refusal;

/// What an org keeps for logins.
#[derive(Debug)]
pub struct Login {
    apps: Vec<Arc<App>>,
    pub settings: Settings,
    /// Keys and secrets that are not given follow from it.
    seed: u64,
}

impl Login {
    /// With one app, the usual one.
    pub fn new(seed: u64) -> Self {
        let mut login = Self { apps: Vec::new(), settings: Settings::default(), seed };
        let usual = login.set_apps(vec![AppSpec::default()]);
        debug_assert!(usual.is_ok(), "nothing in the usual app can be wrong");
        login
    }

    pub fn apps(&self) -> &[Arc<App>] {
        &self.apps
    }

    /// Replaces the apps; the first one keeps key and secret unless it brings its own. The keys of apps that are gone.
    ///
    /// # Errors
    /// What is wrong with a description; then the apps are as before.
    pub fn set_apps(&mut self, specs: Vec<AppSpec>) -> Result<Vec<String>, String> {
        let mut apps = Vec::new();
        for (place, spec) in (0u64..).zip(specs) {
            let mut rng = fastrand::Rng::with_seed(self.seed.wrapping_add(place));
            apps.push(Arc::new(App::new(spec, &mut rng)?));
        }
        let before = std::mem::replace(&mut self.apps, apps);
        let stays = |key: &str| self.apps.iter().any(|app| app.key == key);
        Ok(before.iter().map(|app| app.key.clone()).filter(|key| !stays(key)).collect())
    }

    /// The app with this consumer key, unless it is blocked.
    pub fn app(&self, key: &str) -> Option<Arc<App>> {
        self.apps.iter().find(|app| app.key == key && !app.spec.blocked).cloned()
    }
}

/// Where a request came in, and the orgs that it can mean.
#[derive(Debug, Clone, Copy)]
pub struct Door<'a> {
    pub hosts: &'a [Arc<Host>],
    /// The login host, which stands for all orgs and is none.
    pub shared: bool,
}

/// An org and an app of it.
#[derive(Debug, Clone)]
pub struct Client {
    pub host: Arc<Host>,
    pub app: Arc<App>,
}

impl<'a> Door<'a> {
    /// An org's own.
    pub fn of(host: &'a Arc<Host>) -> Self {
        Self { hosts: std::slice::from_ref(host), shared: false }
    }

    /// Answers a request that is about logging in.
    pub async fn answer(&self, call: &Call) -> Option<Answer> {
        let answer = match call.path().as_slice() {
            ["services", "oauth2", "token"] => grants::token(self, call).await,
            ["services", "oauth2", "authorize"] => authorize::handle(self, call),
            ["services", "oauth2", "revoke"] => inspect::revoke(self, call),
            ["services", "oauth2", "introspect"] => inspect::introspect(self, call),
            ["services", "oauth2", "userinfo"] => identity::userinfo(self, call),
            [".well-known", "openid-configuration"] => Answer::json(200, &identity::discovery(&call.base())),
            ["id", "keys"] => Answer::json(200, &keys::shown()),
            ["id", org, user] => identity::identity(self, call, org, user),
            _ => return None,
        };
        Some(answer)
    }

    /// Every org with an app of this key.
    fn clients(&self, key: &str) -> Result<Vec<Client>, Refusal> {
        let find = |host: &Arc<Host>| Some(Client { app: host.login().app(key)?, host: host.clone() });
        let clients: Vec<Client> = self.hosts.iter().filter_map(find).collect();
        if clients.is_empty() { Err(Refusal::unknown_client()) } else { Ok(clients) }
    }

    /// The base to which API calls of the org go: by the name that the client called.
    pub fn instance(&self, host: &Host, call: &Call) -> String {
        match host.port() {
            Some(port) if self.shared => format!("{}://{}:{port}", call.scheme(), call.host_name()),
            _ => call.base(),
        }
    }
}

/// The identity URL of a user.
fn identity_url(base: &str, org: &Id, user: &Id) -> String {
    format!("{base}/id/{org}/{user}")
}

/// The session of a token, if it and its user are good.
pub fn session(host: &Host, token: Option<&str>) -> Option<(Session, User)> {
    let session = host.tokens().check(token, host.now())?;
    let user = host.org().user(&session.user).filter(|user| user.active).cloned()?;
    Some((session, user))
}

/// The parameters of a POST: of the form, or of the URL, where many an old client has them. An empty one is as good as
/// none.
fn parameters(call: &Call) -> HashMap<String, String> {
    let form = host::form(&call.body).into_iter().filter(|(_, value)| !value.is_empty());
    call.query.iter().cloned().chain(form).collect()
}

/// Client id and secret: from an `Authorization: Basic` header, or from the form.
fn credentials(call: &Call, form: &HashMap<String, String>) -> (Option<String>, Option<String>) {
    let (id, secret) = match basic(call) {
        Some((id, secret)) => (Some(id), Some(secret)),
        None => (form.get("client_id").cloned(), form.get("client_secret").cloned()),
    };
    let given = |text: &String| !text.is_empty();
    (id.filter(given), secret.filter(given))
}

/// Both parts of an `Authorization: Basic` header are form-encoded (RFC 6749, 2.3.1).
fn basic(call: &Call) -> Option<(String, String)> {
    let (scheme, encoded) = call.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then_some(())?;
    let text = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
    Some((decode(id), decode(secret)))
}

/// Checks an app's secret; one that is not required may be missing, but not be wrong.
fn authenticate(app: &App, secret: Option<&str>, required: bool) -> Result<(), Refusal> {
    match secret {
        Some(secret) if secret == app.secret() => Ok(()),
        None if !required => Ok(()),
        _ => Err(Refusal::wrong_secret()),
    }
}
