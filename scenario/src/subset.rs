//! Kind `subset`: which activators serve a revision, and which bucket owns it.

use serde::{Deserialize, Serialize};
use tidegate_autoscaler::subset::{UNIVERSE, bucket_name, choose, owner};

use crate::context::Context;
use crate::error::{At, ScenarioError};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SubsetInput {
    choices: Vec<Choice>,
    owners: Vec<Ownership>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    from: Vec<String>,
    n: usize,
    target: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ownership {
    buckets: usize,
    keys: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct SubsetOutput {
    chosen: Vec<Vec<String>>,
    owners: Vec<OwnersOutput>,
}

#[derive(Debug, Serialize)]
struct OwnersOutput {
    bucket_names: Vec<String>,
    owners: Vec<String>,
}

pub(super) fn subset(
    input: SubsetInput,
    context: &mut Context,
) -> Result<SubsetOutput, ScenarioError> {
    let mut chosen = Vec::with_capacity(input.choices.len());
    for (index, Choice { from, n, target }) in input.choices.iter().enumerate() {
        let candidates: Vec<&str> = from.iter().map(String::as_str).collect();
        let names = choose(&candidates, *n, target).at(format!("input.choices[{index}].from"))?;
        context.explanations.say(|| {
            format!("{target} is served by {} of {}: {}", names.len(), from.len(), names.join(", "))
        });
        chosen.push(names.into_iter().map(str::to_owned).collect());
    }
    let mut owners = Vec::with_capacity(input.owners.len());
    for (index, ownership) in input.owners.iter().enumerate() {
        owners.push(ownership.answer(&format!("input.owners[{index}]"), context)?);
    }
    Ok(SubsetOutput { chosen, owners })
}

impl Ownership {
    fn answer(&self, path: &str, context: &mut Context) -> Result<OwnersOutput, ScenarioError> {
        let count = self.buckets;
        if !(1..=UNIVERSE).contains(&count) {
            let message = format!("{count} buckets, expected 1 to {UNIVERSE}");
            return Err(ScenarioError::new(format!("{path}.buckets"), message));
        }
        let bucket_names: Vec<String> = (0..count).map(|index| bucket_name(index, count)).collect();
        let candidates: Vec<&str> = bucket_names.iter().map(String::as_str).collect();
        let mut owners = Vec::with_capacity(self.keys.len());
        for (index, key) in self.keys.iter().enumerate() {
            let bucket = owner(&candidates, key).at(format!("{path}.keys[{index}]"))?;
            let bucket = bucket.unwrap_or_default().to_owned();
            context.explanations.say(|| format!("{key} belongs to {bucket}"));
            owners.push(bucket);
        }
        Ok(OwnersOutput { bucket_names, owners })
    }
}
