//! The scaler as an object that is deleted, and waits for its finalizers.

use http::Method;
use serde_json::{Value, json};

use super::{DEPLOYMENTS, HPAS, Listed, SCALERS, Stage, scaler_key};

impl Stage {
    fn scaler(&self) -> (u16, Value) {
        self.ask(Method::GET, &format!("{SCALERS}/till"), &Value::Null)
    }

    pub(crate) fn has_scaler(&self) -> bool {
        self.scaler().0 == 200
    }

    pub(crate) fn finalizers(&self) -> Vec<String> {
        let all = self.scaler().1["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        all.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    pub(crate) fn add_finalizer(&mut self, name: &str) {
        let finalizers = json!({"metadata": {"finalizers": [name]}});
        self.patch(&format!("{SCALERS}/till"), finalizers);
        self.tell(Listed::Scalers);
    }

    /// Has an HPA set the replicas, which may bring the target to zero.
    pub(crate) fn scale_by_an_hpa(&mut self) {
        self.patch(&format!("{SCALERS}/till"), json!({"spec": {"actuator": "externalMetrics"}}));
        let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "till"});
        let hpa = json!({
            "metadata": {"name": "till"},
            "spec": {"scaleTargetRef": reference, "minReplicas": 0},
        });
        self.ask(Method::POST, HPAS, &hpa);
        self.see_all();
    }

    /// The HPA's part: the target gets what is recommended; while nothing is, it stays as it is.
    pub(crate) fn let_the_hpa_look(&mut self) {
        let said = self.reconciler.planner().recommendation(&scaler_key()).flatten();
        if let Some(Ok(recommended)) = said {
            self.person_scales(recommended.replicas.into());
        }
    }

    /// A person deletes the scaler. That it is gone is found by the next list.
    pub(crate) fn person_deletes_scaler(&mut self) {
        self.ask(Method::DELETE, &format!("{SCALERS}/till"), &Value::Null);
        let listed = self.list(Listed::Scalers);
        self.news.push(listed);
    }

    pub(crate) fn person_deletes_target(&mut self) {
        self.ask(Method::DELETE, &format!("{DEPLOYMENTS}/till"), &Value::Null);
        let listed = self.list(Listed::Targets);
        self.news.push(listed);
    }
}
