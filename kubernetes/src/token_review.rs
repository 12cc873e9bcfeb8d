//! Whose a ServiceAccount's token is, as the API server says.
//!
//! Pods present tokens that the kubelet renews each hour and that are for our audience alone, so
//! that nobody can use one that we see elsewhere. One of the system namespace is trusted with
//! everything; any other speaks for its own namespace.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_controller::{Authenticate, Authentication, Caller, TokenRefused};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::reconciler::Response;
use crate::request::{ApiRequest, api};

/// Reviews under way at a time. With a millisecond or two for each, ten thousand pods that come
/// back after a change of the controller are through in a second.
const REVIEWS_MAX: usize = 32;

/// How long one waits for its turn: less than a reporter waits for a response.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// What a ServiceAccount's name begins with, before its namespace.
const ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// Asks the API server whose tokens are.
pub struct TokenReviews {
    cluster: Cluster,
    audience: String,
    system_namespace: String,
    turns: Semaphore,
}

impl TokenReviews {
    /// Takes tokens for `audience`.
    #[must_use]
    pub fn new(client: kube::Client, audience: String, system_namespace: String) -> Self {
        let (cluster, turns) = (Cluster { client }, Semaphore::new(REVIEWS_MAX));
        Self { cluster, audience, system_namespace, turns }
    }

    async fn review(&self, token: &str) -> Result<Caller, TokenRefused> {
        let turn = timeout(TURN_TIMEOUT, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(TokenRefused::Unavailable("too many ask at a time".to_owned()));
        };
        match self.cluster.send(&request(token, &self.audience)).await {
            Response::Done(review) => caller(&review, &self.audience, &self.system_namespace),
            Response::Failed { why, .. } => Err(TokenRefused::Unavailable(why)),
            Response::NotFound | Response::Conflict => {
                Err(TokenRefused::Unavailable("the API server reviews no tokens".to_owned()))
            }
        }
    }
}

impl std::fmt::Debug for TokenReviews {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("TokenReviews");
        shown.field("audience", &self.audience).finish_non_exhaustive()
    }
}

impl Authenticate for TokenReviews {
    fn authenticate<'a>(&'a self, token: &'a str) -> Authentication<'a> {
        Box::pin(self.review(token))
    }
}

fn request(token: &str, audience: &str) -> ApiRequest {
    let api_version = "authentication.k8s.io/v1";
    let body = json!({
        "apiVersion": api_version,
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [audience]},
    });
    ApiRequest::create(format!("{}/tokenreviews", api(api_version)), body)
}

/// What a review says.
fn caller(review: &Value, audience: &str, system_namespace: &str) -> Result<Caller, TokenRefused> {
    let status = review.get("status").unwrap_or(&Value::Null);
    if status.get("authenticated") != Some(&Value::Bool(true)) {
        let why = status.get("error").and_then(Value::as_str).unwrap_or("nobody issued it");
        // What the server says may be long, and goes to the log and to the caller.
        return Err(TokenRefused::Invalid(why.chars().take(200).collect()));
    }
    // A server that knows nothing of audiences takes a token that was meant for it alone.
    let audiences = status.get("audiences").and_then(Value::as_array).into_iter().flatten();
    if !audiences.into_iter().any(|known| known == audience) {
        return Err(TokenRefused::Invalid(format!("it is not for the audience {audience}")));
    }
    let username = status.pointer("/user/username").and_then(Value::as_str).unwrap_or_default();
    let account = username.strip_prefix(ACCOUNT_PREFIX).and_then(|name| name.split_once(':'));
    match account {
        Some((namespace, _)) if namespace == system_namespace => Ok(Caller::Trusted),
        Some((namespace, _)) if !namespace.is_empty() => Ok(Caller::Namespace(namespace.into())),
        _ => Err(TokenRefused::Invalid("it is not that of a ServiceAccount".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: Value) -> Result<Caller, TokenRefused> {
        caller(&json!({"status": status}), "tidegate", "tidegate-system")
    }

    fn of(username: &str) -> Value {
        json!({
            "authenticated": true,
            "audiences": ["tidegate"],
            "user": {"username": username},
        })
    }

    #[test]
    fn a_token_speaks_for_its_namespace_and_the_system_namespaces_for_all() {
        let own = read(of("system:serviceaccount:tidegate-system:tidegate-activator"));
        assert_eq!(own, Ok(Caller::Trusted));
        let pod = read(of("system:serviceaccount:shop:default"));
        assert_eq!(pod, Ok(Caller::Namespace("shop".into())));
    }

    #[test]
    fn what_is_no_account_or_for_others_is_refused() {
        let refused = |status| matches!(read(status), Err(TokenRefused::Invalid(_)));
        assert!(refused(of("jane")));
        assert!(refused(of("system:serviceaccount::default")));
        assert!(refused(json!({"authenticated": false, "error": "token has expired"})));
        assert!(refused(Value::Null));
        let mut other = of("system:serviceaccount:shop:default");
        other["audiences"] = json!(["https://kubernetes.default.svc"]);
        assert!(refused(other.clone()));
        other["audiences"] = Value::Null;
        assert!(refused(other));
    }
}
