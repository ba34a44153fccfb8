//! Local facts: what files and programs of `facts.d` say, as JSON or INI.

use super::{Facts, Told};
use serde_json::{Map, Value as Json, json};

pub(super) fn add(told: &Told, facts: &mut Facts, warnings: &mut Vec<String>) {
    let mut local = Map::new();
    let mut entries: Vec<_> = told.local.iter().collect();
    entries.sort_by_key(|(head, _)| head.rsplit(' ').next());
    for (head, body) in entries {
        let mut words = head.splitn(3, ' ');
        let (kind, rc, file) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let name = file.replace(".fact", "");
        let value = if kind == "x" && rc != "0" {
            let why = format!("Failure executing fact script ({file}), rc: {rc}, err: {body}");
            warnings.push(why.clone());
            json!(why)
        } else {
            read(body).unwrap_or_else(|| {
                let why =
                    format!("error loading facts as JSON or ini - please check content: {file}");
                warnings.push(why.clone());
                json!(why)
            })
        };
        local.insert(name, value);
    }
    facts.insert("local".into(), Json::Object(local));
}

fn read(text: &str) -> Option<Json> {
    serde_json::from_str(text).ok().or_else(|| ini(text))
}

/// INI as Python's `configparser` reads it: keys in lower case, `=` or `:`, indented lines continue a value.
fn ini(text: &str) -> Option<Json> {
    let mut sections: Map<String, Json> = Map::new();
    let mut defaults: Map<String, Json> = Map::new();
    let mut section: Option<String> = None;
    let mut last: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let here = match section.as_deref() {
            Some("DEFAULT") => Some(&mut defaults),
            Some(name) => sections.get_mut(name).and_then(Json::as_object_mut),
            None => None,
        };
        if line.starts_with([' ', '\t'])
            && let (Some(here), Some(key)) = (here, &last)
        {
            if let Some(Json::String(value)) = here.get_mut(key) {
                value.push('\n');
                value.push_str(trimmed);
            }
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|s| s.split_once(']')) {
            let name = name.0.to_owned();
            if name != "DEFAULT" {
                sections.entry(name.clone()).or_insert_with(|| json!({}));
            }
            section = Some(name);
            last = None;
            continue;
        }
        let here = match section.as_deref() {
            Some("DEFAULT") => &mut defaults,
            Some(name) => sections.get_mut(name)?.as_object_mut()?,
            // A value before the first section: configparser refuses the file.
            None => return None,
        };
        let (key, value) = trimmed.split_once(['=', ':'])?;
        let key = key.trim().to_lowercase();
        here.insert(key.clone(), json!(value.trim()));
        last = Some(key);
    }
    for section in sections.values_mut() {
        if let Some(section) = section.as_object_mut() {
            for (key, value) in &defaults {
                section.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    Some(Json::Object(sections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_ini_are_read() {
        assert_eq!(read("{\"a\": [1]}\n"), Some(json!({"a": [1]})));
        assert_eq!(
            read("[General]\nKey = value\n more\nother: 2\n"),
            Some(json!({"General": {"key": "value\nmore", "other": "2"}}))
        );
        assert_eq!(read("a = 1"), None);
        assert_eq!(read(""), Some(json!({})));
    }
}
