//! The pages that a user sees in the browser. Whatever comes from outside is escaped.

use super::authorize::{Ask, Candidate};
use super::refusal::Refusal;
use super::scopes::Scopes;
use crate::wire::{Answer, escaped};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;background:#f3f3f3;color:#181818;margin:0}\
main{max-width:26rem;margin:4rem auto;padding:2rem;background:#fff;border:1px solid #c9c9c9;border-radius:.5rem}\
h1{font-size:1.25rem;margin:0 0 1rem}ul{padding-left:1.25rem}code{background:#f3f3f3;padding:0 .25rem}\
select,button{font:inherit;padding:.5rem 1rem;border-radius:.25rem;border:1px solid #747474;background:#fff}\
select{width:100%;margin:.25rem 0 1rem}.allow{background:#0b5cab;border-color:#0b5cab;color:#fff}\
small{color:#5c5c5c}";

fn page(status: u16, title: &str, body: &str) -> Answer {
    let title = escaped(title);
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
<style>{STYLE}</style></head>\n<body><main><h1>{title}</h1>\n{body}\n\
<p><small>An emulated org; nothing here reaches a real one.</small></p></main></body></html>\n"
    );
    Answer::text(status, "text/html;charset=UTF-8", html)
        .with("cache-control", "no-cache, no-store")
        .with("x-frame-options", "DENY")
        .with("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")
}

/// What must not go back to an app.
pub fn problem(refusal: &Refusal) -> Answer {
    let body = format!(
        "<p>The app cannot be authorized. Its maker can mend this.</p>\n<p><code>error={}</code></p>\n<p><code>error_description={}</code></p>",
        escaped(&refusal.error),
        escaped(&refusal.description)
    );
    page(400, "Authorization error", &body)
}

/// Which app asks for what, and as whom.
pub fn consent(ask: &Ask, candidates: &[Candidate], scopes: &Scopes) -> Answer {
    let app = candidates.first().map(|candidate| candidate.client.app.spec.name.clone()).unwrap_or_default();
    let scopes: String = scopes.iter().map(|scope| format!("<li><code>{}</code></li>", escaped(scope))).collect();
    let carried: String = ask
        .carried()
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">\n", escaped(value)))
        .collect();
    let users: String = candidates
        .iter()
        .map(|Candidate { client, user }| {
            let (name, org) = (escaped(&user.username), escaped(&client.host.name));
            format!("<option value=\"{name}\">{name} (org {org})</option>")
        })
        .collect();
    let body = format!(
        "<p>It asks for access to:</p>\n<ul>{scopes}</ul>\n\
<form method=\"post\" action=\"/services/oauth2/authorize\">\n{carried}\
<label for=\"username\">as the user</label><select id=\"username\" name=\"username\">{users}</select>\n\
<button class=\"allow\" name=\"decision\" value=\"allow\">Allow</button>\n\
<button name=\"decision\" value=\"deny\">Deny</button>\n</form>"
    );
    page(200, &format!("Allow access for {app}?"), &body)
}
